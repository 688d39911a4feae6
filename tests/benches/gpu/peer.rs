//! A process of `gpu_peer.py`.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::options::Options;
use crate::speed::Work;

/// It answers one line of JSON to each request.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) versions: String,
}

/// What a step took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) seconds: f64,
    /// Peak of what tensors take.
    pub(crate) bytes: f64,
}

impl Peer {
    /// `compile_threads` limits PyTorch's compiler.
    pub(crate) fn start(options: &Options, compile_threads: Option<usize>) -> io::Result<Self> {
        let mut command = Command::new(&options.python);
        command.arg(&options.peer).arg(options.device_name()).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(threads) = compile_threads {
            command.env("TORCHINDUCTOR_COMPILE_THREADS", threads.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("the peer's output is piped"));
        let mut peer = Self { child, input, output, versions: String::new() };
        peer.versions = peer.read()?.as_str().unwrap_or_default().to_owned();
        Ok(peer)
    }

    /// # Errors
    /// The peer refused or died; the text says why.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value, String> {
        let mut answer = || {
            writeln!(self.input.as_mut().expect("the input is open"), "{request}")?;
            self.read()
        };
        let answer = answer().map_err(|error: io::Error| format!("no answer: {error}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    /// Times steps of some work. With a limit the peer ends if making the network takes longer.
    pub(crate) fn step(&mut self, work: &Work, setting: &str, steps: usize, limit_s: u64) -> Result<Step, String> {
        let answer = self.ask(&json!({
            "task": work.task.name(), "name": work.architecture.name(), "kind": crate::name_of(work.kind),
            "setting": setting, "size": work.size, "batch": work.batch, "steps": steps, "limit_s": limit_s,
        }))?;
        let number = |field: &str| answer[field].as_f64().ok_or_else(|| format!("no {field} in {answer}"));
        Ok(Step { seconds: number("seconds")?, bytes: number("bytes")? })
    }

    fn read(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer ended"));
        }
        serde_json::from_str(&line).map_err(io::Error::from)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
