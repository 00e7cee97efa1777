use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: Format, filter: &str, log: impl FnOnce()) -> String {
    let shared = Shared::default();
    let output = shared.clone();
    let dispatch = dispatch(format, filter, move || output.clone()).unwrap();
    tracing::dispatcher::with_default(&dispatch, log);
    String::from_utf8(shared.0.lock().unwrap().clone()).unwrap()
}

const HOSTILE: &str = "x\n2026-01-01T00:00:00Z  INFO forged\r\u{1b}[31m\u{85}\u{2028}\u{202e}";

#[test]
fn an_event_is_one_line_in_text() {
    let text = logged(Format::Text, "info", || {
        tracing::info!(tool = %HOSTILE, "called {}", HOSTILE);
        tracing::debug!("not shown");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("\\u000a2026-01-01") && text.ends_with('\n'));
    assert!(
        !text
            .trim_end_matches('\n')
            .chars()
            .any(crate::escape::is_escaped),
        "{text:?}"
    );
}

#[test]
fn an_event_is_one_object_in_json() {
    let text = logged(Format::Json, "warn,quotum_telemetry=debug", || {
        tracing::debug!(tool = %HOSTILE, "called");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&event["tool"], &event["message"]),
        (&HOSTILE.into(), &"called".into())
    );
    assert!(
        !text
            .trim_end_matches('\n')
            .chars()
            .any(crate::escape::is_escaped),
        "{text:?}"
    );
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let error = dispatch(Format::Text, "quotum=loud", io::sink).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("\"quotum=loud\" is no log filter"),
        "{error}"
    );
}
