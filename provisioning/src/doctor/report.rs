//! The findings as text for a terminal.

use std::fmt::Write as _;

use super::{Finding, Verdict, worst};

/// A line per finding, its remedy below it, and a last line that sums up.
pub fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Fine => "ok",
            Verdict::Warn => "warning",
            Verdict::Fail => "FAILED",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mark:<8} {:<9} {}", finding.name, finding.seen);
        if !finding.remedy.is_empty() {
            let _ = writeln!(text, "{:18} -> {}", "", finding.remedy);
        }
    }
    let count = |verdict| findings.iter().filter(|f| f.verdict == verdict).count();
    let _ = match worst(findings) {
        Verdict::Fine => writeln!(text, "This host is fit for the platform."),
        Verdict::Warn => writeln!(
            text,
            "This host is fit for the platform; {} to look at.",
            things(count(Verdict::Warn))
        ),
        Verdict::Fail => writeln!(text, "{} to put right.", things(count(Verdict::Fail))),
    };
    text
}

fn things(count: usize) -> String {
    match count {
        1 => "1 thing".to_owned(),
        _ => format!("{count} things"),
    }
}
