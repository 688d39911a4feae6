use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::train::observer::{Event, Observer};

/// Writes events as lines of JSON: the event's name and fields, and `time_s` since 1970.
///
/// A log for people and plots: nothing is resumed from it. If it cannot be written, training continues.
#[derive(Debug)]
pub struct EventLog(Option<File>);

impl EventLog {
    /// A log that appends to a file.
    #[must_use]
    pub fn append(path: &Path) -> Self {
        Self(OpenOptions::new().create(true).append(true).open(path).ok())
    }
}

impl Observer for EventLog {
    fn event(&mut self, event: &Event) {
        let Some(file) = &mut self.0 else { return };
        let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(event) else { return };
        let time_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        fields.insert("time_s".to_owned(), ((time_s * 1e3).round() / 1e3).into());
        let mut line = serde_json::Value::Object(fields).to_string();
        line.push('\n');
        // one write: the lines of two processes do not mix
        let _ = file.write_all(line.as_bytes());
    }
}
