//! Batches: any bytes are refused with a place inside them, or read; what is read is written with the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprise_core::wire::{BatchError, BatchHead, Capture, Frames, push_frame};

fn read(bytes: &[u8]) -> Result<(Option<BatchHead>, Vec<Capture>), BatchError> {
    let mut frames = Frames::new(bytes);
    let head = frames.next_message()?;
    let mut captures = Vec::new();
    while let Some(capture) = frames.next_message()? {
        captures.push(capture);
    }
    Ok((head, captures))
}

fuzz_target!(|bytes: &[u8]| match read(bytes) {
    Ok((Some(head), captures)) => {
        let mut again = Vec::new();
        push_frame(&head, &mut again);
        for capture in &captures {
            push_frame(capture, &mut again);
        }
        assert_eq!(read(&again), Ok((Some(head), captures)));
    }
    Ok((None, captures)) => assert!(bytes.is_empty() && captures.is_empty()),
    Err(BatchError::Length { at } | BatchError::Message { at, .. }) => assert!(at <= bytes.len()),
});
