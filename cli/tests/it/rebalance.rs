use serde_json::{Value, json};

use super::harness::Cli;

const ASK: &str = "POST /platform/rebalance";
const SHOW: &str = "GET /platform/rebalance";

fn rebalance(status: &str, moves: &[&str]) -> Value {
    let moves: Vec<Value> = moves
        .iter()
        .map(|dyno| json!({"app": "myapp", "at": AT, "dyno": dyno, "from": "node-1", "to": "node-2"}))
        .collect();
    json!({
        "finished_at": null, "moved": moves.len(), "moves": moves, "requested_at": AT,
        "requested_by": "me@example.com", "status": status,
    })
}

const AT: &str = "2026-11-22T13:24:10Z";

#[test]
fn each_move_is_told_once_until_all_is_balanced() {
    let cli = Cli::new();
    cli.stub
        .on(ASK, rebalance("balancing", &[]))
        .on(SHOW, rebalance("balancing", &["web.1"]))
        .on(SHOW, rebalance("balancing", &["web.1"]))
        .on(SHOW, rebalance("balanced", &["web.1", "web.2"]));
    cli.paas(&["nodes:rebalance"]).answers("").says(
        "Moving web.1 of ⬢ myapp from node-1 to node-2\n\
         Moving web.2 of ⬢ myapp from node-1 to node-2\n\
         Balanced: 2 dynos moved.\n",
    );
}

#[test]
fn nothing_to_move_is_said_so() {
    let cli = Cli::new();
    cli.stub
        .on(ASK, rebalance("balancing", &[]))
        .on(SHOW, rebalance("balanced", &[]));
    let said = cli.paas(&["nodes:rebalance", "--json"]);
    said.says("There is nothing to move: the hosts are as balanced as they can be.\n");
    let printed: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(printed, rebalance("balanced", &[]));
}

#[test]
fn it_need_not_be_waited_for_and_can_be_called_off() {
    let cli = Cli::new();
    cli.stub.on(ASK, rebalance("balancing", &[])).on(
        "DELETE /platform/rebalance",
        rebalance("stopped", &["web.1"]),
    );
    cli.paas(&["nodes:rebalance", "--no-wait"])
        .says("The hosts are being balanced. Follow it with `paas nodes:rebalance`.\n");
    cli.paas(&["nodes:rebalance", "--stop"])
        .says("Moving web.1 of ⬢ myapp from node-1 to node-2\nStopped: 1 dyno moved.\n");
    assert!(cli.stub.seen(SHOW).is_empty());
}
