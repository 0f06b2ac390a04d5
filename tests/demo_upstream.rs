//! The demo application as a process: `demo-upstream [ADDRESS]`, by default 127.0.0.1:8080. It prints where it listens.
#![expect(
    clippy::print_stdout,
    reason = "whoever started it reads the address from its output"
)]

use std::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(&address)?;
    println!("listening on {}", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        let _ = stop.send(true);
    });
    reprise_tests::upstream::serve(listener, stopped).await;
    Ok(())
}
