//! Starts a replay and stays with it: progress, questions, Ctrl-C, the end.

use super::api::failed;
use super::output::Output;
use super::progress::Progress;
use super::replay::{ShowArgs, Spec};
use super::table::plain;
use super::{Diagnostic, Verdict, steps};
use crate::app::replays::exit;
use crate::client::{Api, ApiError};
use http::StatusCode;
use serde_json::{Value, json};
use std::io::{self, BufRead as _};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::{signal, time};

/// How often replayd is asked how far it is.
const BEAT: Duration = Duration::from_millis(200);
/// How often it may not answer in a row.
const MISSES_MAX: u32 = 25;

/// How a replay is started and shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Only its plan is shown.
    pub(super) dry_run: bool,
    /// Nobody waits for it.
    pub(super) detach: bool,
    /// How it is shown.
    pub(super) show: ShowArgs,
}

/// Starts what `spec` says and stays with it to its end, or shows its plan.
pub(super) async fn start(
    api: &Api,
    spec: &Spec,
    how: How,
    output: &mut Output,
) -> Result<Verdict, Box<dyn Diagnostic>> {
    let path = if how.dry_run {
        "/api/v1/replays/plan"
    } else {
        "/api/v1/replays"
    };
    let begun = match api.post(path, &spec.0).await {
        Ok(begun) => begun,
        Err(error) => return refused(error, output),
    };
    if how.dry_run {
        return steps::plan(&begun, how.show, output);
    }
    if how.detach {
        output.answer(how.show.json, &begun, || format!("{}\n", number(&begun, "id")))?;
        return Ok(Verdict::Replay(exit::MATCH));
    }
    stay(api, begun, how.show, output).await
}

/// Tells that replayd refused, which is an outcome; that it did not answer is a failure.
pub(super) fn refused(error: ApiError, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    let says_no = [
        StatusCode::FORBIDDEN,
        StatusCode::CONFLICT,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    match error {
        ApiError::Refused(refusal) if says_no.contains(&refusal.status) && refusal.slug != "forbidden" => {
            output.write_error(format_args!("refused: {}\n", plain(&refusal.detail)));
            Ok(Verdict::Replay(exit::REFUSED))
        }
        error => Err(failed(error)),
    }
}

/// Stays with a replay to its end.
pub(super) async fn stay(
    api: &Api,
    begun: Value,
    show: ShowArgs,
    output: &mut Output,
) -> Result<Verdict, Box<dyn Diagnostic>> {
    let id = number(&begun, "id");
    let mut stay = Stay {
        api,
        id,
        progress: Progress::new(id),
        is_stopping: false,
        answers: None,
        output,
    };
    match stay.follow(begun).await {
        Ok(view) => end(api, &view, show, output).await,
        // Whatever became of replayd, the replay is on disk.
        Err(ApiError::NoAnswer { url, cause }) => {
            let told = format!("{url} does not answer any more: {cause}; `replayd replays resume {id}` goes on\n");
            output.write_error(told);
            Ok(Verdict::Replay(exit::INTERRUPTED))
        }
        Err(error) => Err(failed(error)),
    }
}

/// A replay that somebody stays with.
struct Stay<'a> {
    api: &'a Api,
    id: u64,
    progress: Progress,
    is_stopping: bool,
    /// Lines that a person writes, once they were asked.
    answers: Option<mpsc::UnboundedReceiver<String>>,
    output: &'a mut Output,
}

impl Stay<'_> {
    /// Follows it to its end, or until it is left alone; gives the last view.
    async fn follow(&mut self, begun: Value) -> Result<Value, ApiError> {
        let mut view = begun;
        while view.get("exit_code").is_none_or(Value::is_null) {
            self.progress.show(&view, self.output);
            match view.get("question").filter(|question| question.is_object()) {
                Some(question) if !self.is_stopping => self.settle(question).await?,
                _ if pause().await => {}
                _ if self.is_stopping => break,
                _ => {
                    self.progress
                        .note("stopping; press Ctrl-C again to leave it alone", self.output);
                    self.interrupt().await?;
                }
            }
            view = self.look().await?;
        }
        self.progress.end(&view, self.output);
        Ok(view)
    }

    /// Gets a question answered.
    async fn settle(&mut self, question: &Value) -> Result<(), ApiError> {
        let answers = self.answers.get_or_insert_with(lines);
        let decision = tokio::select! {
            decision = ask(question, answers, &self.progress, self.output) => decision,
            _ = signal::ctrl_c() => None,
        };
        match decision {
            Some(decision) => self.decide(question, decision).await,
            // Whatever is asked by now: it stops.
            None => self.interrupt().await,
        }
    }

    /// Answers this question and no other.
    async fn decide(&self, question: &Value, decision: &str) -> Result<(), ApiError> {
        let of = |name: &str| question.get(name).unwrap_or(&Value::Null);
        let answer = json!({"step": of("step"), "why": of("why"), "attempt": of("attempt"), "decision": decision});
        let path = format!("/api/v1/replays/{}/decide", self.id);
        self.tell(&path, &answer).await
    }

    async fn interrupt(&mut self) -> Result<(), ApiError> {
        self.is_stopping = true;
        let path = format!("/api/v1/replays/{}/interrupt", self.id);
        self.tell(&path, &json!({})).await
    }

    async fn tell(&self, path: &str, what: &Value) -> Result<(), ApiError> {
        match self.api.post(path, what).await {
            // It went on in the meantime, by itself or because somebody else was faster.
            Err(ApiError::Refused(refusal)) if refusal.status == StatusCode::CONFLICT => Ok(()),
            done => done.map(drop),
        }
    }

    /// Asks how far it is, more than once if replayd does not answer.
    async fn look(&self) -> Result<Value, ApiError> {
        let mut misses = 0_u32;
        loop {
            match self.api.get(&format!("/api/v1/replays/{}", self.id)).await {
                Err(ApiError::NoAnswer { url, cause }) if misses < MISSES_MAX => {
                    misses = misses.saturating_add(1);
                    tracing::debug!(url, cause, "replayd does not answer");
                    time::sleep(BEAT).await;
                }
                answered => return answered,
            }
        }
    }
}

/// Waits a moment; false if somebody pressed Ctrl-C.
async fn pause() -> bool {
    tokio::select! {
        () = time::sleep(BEAT) => true,
        _ = signal::ctrl_c() => false,
    }
}

/// Reads lines from standard input in a thread of its own, which Ctrl-C need not wait for.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Asks a person; none if it stops, as at the end of the input.
async fn ask(
    question: &Value,
    lines: &mut mpsc::UnboundedReceiver<String>,
    progress: &Progress,
    output: &mut Output,
) -> Option<&'static str> {
    let text = |name: &str| plain(question.get(name).and_then(Value::as_str).unwrap_or_default());
    let (verb, detail) = match text("why").as_str() {
        "mismatch" => ("go on after", text("detail")),
        "in_doubt" => ("send again", text("detail")),
        _ => ("send", String::new()),
    };
    let about = format!(
        "{verb} {} {} (capture {})? {detail}",
        text("method"),
        text("target"),
        number(question, "capture")
    );
    loop {
        progress.prompt(&format!("{} [y]es, [s]kip, [q]uit: ", about.trim_end()), output);
        let line = lines.recv().await?;
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Some("send"),
            "s" | "skip" | "n" | "no" => return Some("skip"),
            "q" | "quit" => return None,
            _ => {}
        }
    }
}

/// Shows what became of it.
async fn end(api: &Api, view: &Value, show: ShowArgs, output: &mut Output) -> Result<Verdict, Box<dyn Diagnostic>> {
    steps::summary(api, view, show, output).await?;
    let code = view
        .get("exit_code")
        .and_then(Value::as_u64)
        .and_then(|code| u8::try_from(code).ok());
    Ok(Verdict::Replay(code.unwrap_or(exit::INTERRUPTED)))
}

/// Reads a number of an answer.
pub(super) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}
