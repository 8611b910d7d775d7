//! A step as a trace in the JSON format that Chrome and Perfetto read: one complete event a launch on the track
//! `launches`, and one for what each thread did of it on the track of the thread. Times are in microseconds.

use super::Fault;
use nnc::diag::{Diagnostic, codes};
use nnc::engine::profile::{LaunchProfile, Profile, Stretch};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

fn fault(path: &Path, doing: &str, error: &std::io::Error) -> Fault {
    let headline = format!("cannot {doing} `{}`", path.display());
    Box::new(Diagnostic::placeless(codes::FILE, headline).note(error.to_string())).into()
}

/// Makes the file, empty.
pub fn create(path: &Path) -> Result<File, Fault> {
    File::create(path).map_err(|e| fault(path, "create", &e))
}

/// Writes the course of a profile's step; `places` are the lines of a launch.
pub fn write(
    file: File,
    path: &Path,
    title: &str,
    profile: &Profile,
    places: &dyn Fn(&LaunchProfile) -> Vec<String>,
) -> Result<(), Fault> {
    let course = &profile.course;
    let name = |what: &str, track: usize, name: &str| json!({ "name": what, "ph": "M", "pid": 1, "tid": track, "args": { "name": name } });
    let mut events = vec![name("process_name", 0, title), name("thread_name", 0, "launches")];
    let threads = course.threads.iter().map(|t| t.slot + 1).max().unwrap_or(0);
    events.extend((0..threads).map(|slot| name("thread_name", slot + 1, &format!("thread {slot}"))));
    let event = |stretch: &Stretch, track: usize, args: Value| {
        let launch = profile.launches.get(stretch.launch).map_or("", |l| l.name.as_str());
        let (ts, dur) = (stretch.begin * 1e6, (stretch.end - stretch.begin) * 1e6);
        json!({ "name": launch, "ph": "X", "ts": ts, "dur": dur, "pid": 1, "tid": track, "args": args })
    };
    for stretch in &course.launches {
        let Some(launch) = profile.launches.get(stretch.launch) else { continue };
        let bytes: u64 = launch.bytes.iter().sum();
        let args = json!({ "lines": places(launch), "flops": launch.flops, "bytes": bytes, "launch": stretch.launch });
        events.push(event(stretch, 0, args));
    }
    events.extend(course.threads.iter().map(|t| event(t, t.slot + 1, json!({ "launch": t.launch }))));
    let whole = json!({
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": { "step_us": course.seconds * 1e6 },
    });
    let mut out = BufWriter::new(file);
    let written = writeln!(out, "{whole}").and_then(|()| out.flush());
    written.map_err(|e| fault(path, "write", &e))
}
