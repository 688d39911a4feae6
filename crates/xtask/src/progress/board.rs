//! The steps, what they wait for, and the line that says so.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// The time between two status lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(60);

/// A step and what it takes on two slow cores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Steps of one lane run one after the other.
    pub(crate) lane: usize,
    pub(crate) expected_s: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    Waiting,
    /// Since when, and which share is done if the program says so.
    Running(Instant, Option<f64>),
    Done(Duration),
}

/// What runs, what is done, and how long the rest takes.
#[derive(Debug)]
pub(crate) struct Board {
    pub(super) steps: Vec<(Step, State)>,
    pub(super) start: Instant,
    last_status: Instant,
    terminal: bool,
    /// A status line is on the terminal and has to be cleared before the next line.
    drawn: bool,
}

impl Board {
    pub(super) fn new(steps: &[Step], terminal: bool) -> Self {
        let now = Instant::now();
        let steps = steps.iter().map(|step| (*step, State::Waiting)).collect();
        Self { steps, start: now, last_status: now, terminal, drawn: false }
    }

    pub(super) fn print(&mut self, text: &str) {
        let clear = if std::mem::take(&mut self.drawn) { "\r\x1b[K" } else { "" };
        // Progress that cannot be printed is no reason to stop.
        let _ = writeln!(io::stdout(), "{clear}{text}");
    }

    /// Seconds until the last lane ends, about; `None` if all is done.
    ///
    /// The expected times are scaled by how this machine did so far; a minute of the expected speed is added, so that
    /// the first seconds do not decide. A step that had nothing to do says nothing about the speed.
    fn rest_s(&self, now: Instant) -> Option<f64> {
        let (mut actual, mut expected) = (60.0, 60.0);
        let mut lanes = std::collections::BTreeMap::<usize, f64>::new();
        for (step, state) in &self.steps {
            let rest = match *state {
                State::Waiting => step.expected_s,
                State::Done(took) => {
                    if took.as_secs_f64() > 0.2 * step.expected_s {
                        actual += took.as_secs_f64();
                        expected += step.expected_s;
                    }
                    0.0
                }
                State::Running(since, share) => {
                    let took = now.duration_since(since).as_secs_f64();
                    let share = share.unwrap_or((took / step.expected_s).min(0.9));
                    if share > 0.05 && took > 5.0 {
                        actual += took;
                        expected += share * step.expected_s;
                    }
                    (1.0 - share) * step.expected_s
                }
            };
            *lanes.entry(step.lane).or_default() += rest;
        }
        let longest = lanes.into_values().fold(0.0, f64::max);
        let unfinished = self.steps.iter().any(|(_, state)| !matches!(state, State::Done(_)));
        unfinished.then(|| longest * (actual / expected).clamp(0.2, 5.0))
    }

    /// `4:31  kernel 61 % (3:10) · Python environment (1:02) · about 9 min left`.
    fn status(&self, now: Instant) -> Option<String> {
        let running = self.steps.iter().filter_map(|(step, state)| match state {
            State::Running(since, share) => {
                let share = share.map_or_else(String::new, |share| format!(" {:.0} %", 100.0 * share));
                Some(format!("{}{share} ({})", step.name, clock(now.duration_since(*since))))
            }
            _ => None,
        });
        let running: Vec<String> = running.collect();
        let rest = self.rest_s(now)?;
        let rest = if rest < 60.0 { "less than a minute".to_owned() } else { format!("about {:.0} min", rest / 60.0) };
        Some(format!("{:>6}  {} · {rest} left", clock(now.duration_since(self.start)), running.join(" · ")))
    }

    pub(super) fn draw(&mut self) {
        let now = Instant::now();
        let Some(status) = self.status(now) else { return };
        if self.terminal {
            let width = terminal_width().unwrap_or(100).saturating_sub(1);
            let cut: String = status.chars().take(width).collect();
            let _ = write!(io::stdout(), "\r\x1b[K{cut}").and_then(|()| io::stdout().flush());
            self.drawn = true;
        } else if now.duration_since(self.last_status) >= INTERVAL {
            self.last_status = now;
            self.print(&status);
        }
    }
}

/// Minutes and seconds.
pub(super) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

fn terminal_width() -> Option<usize> {
    let mut size = std::mem::MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call fills the structure that it is given if it returns zero; all zeros are valid before.
    let size = unsafe {
        if libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    Some(usize::from(size.ws_col)).filter(|width| *width > 20)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::progress) const STEPS: [Step; 3] = [
        Step { name: "download", lane: 0, expected_s: 100.0 },
        Step { name: "kernel", lane: 1, expected_s: 400.0 },
        Step { name: "library", lane: 1, expected_s: 100.0 },
    ];

    #[test]
    fn the_rest_is_that_of_the_longest_lane_at_this_machines_speed() {
        let mut board = Board::new(&STEPS, false);
        let now = board.start + Duration::from_secs(800);
        assert_eq!(board.rest_s(now), Some(500.0));
        board.steps[0].1 = State::Done(Duration::from_secs(1)); // nothing to do: says nothing about the speed
        assert_eq!(board.rest_s(now), Some(500.0));
        board.steps[1].1 = State::Running(board.start, Some(0.75)); // 800 s instead of 300
        let rest = board.rest_s(now).unwrap();
        assert!((rest - 200.0 * 860.0 / 360.0).abs() < 1e-9, "{rest}");
        let status = board.status(now).unwrap();
        assert_eq!(status, " 13:20  kernel 75 % (13:20) · about 8 min left");
        for (_, state) in &mut board.steps {
            *state = State::Done(Duration::from_secs(1));
        }
        assert_eq!(board.status(now), None);
    }
}
