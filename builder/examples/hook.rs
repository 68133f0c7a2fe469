//! The pre-receive hook as an executable of its own, for the tests: in the product it is `paasd hook pre-receive`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ")
        .as_str()
    {
        "hook pre-receive" => builder::hook::main_pre_receive(),
        _ => ExitCode::from(64),
    }
}
