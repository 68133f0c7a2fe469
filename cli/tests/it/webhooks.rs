use serde_json::{Value, json};

use super::harness::Cli;
use super::platform::Platform;
use super::shapes::{webhook, webhook_attempt, webhook_delivery, webhook_event};

const URL: &str = "https://example.com/hooks";
const WEBHOOK: &str = "01234567-89ab-4def-8123-00000000044c";
const DELIVERIES: &str = "GET /apps/myapp/webhook-deliveries";
const EVENT: &str = "01234567-89ab-4def-8123-000000000514";

fn text_of(id: &Value) -> String {
    id["id"].as_str().unwrap().to_owned()
}

#[test]
fn webhooks_are_listed_and_shown() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp/webhooks", json!([]))
        .on("GET /apps/myapp/webhooks", json!([webhook(URL)]))
        .on(&format!("GET /apps/myapp/webhooks/{WEBHOOK}"), webhook(URL));
    let list = ["webhooks", "-a", "myapp"];
    cli.paas(&list)
        .says("⬢ myapp has no webhooks. Add one with: paas webhooks:add\n");
    cli.paas(&list).answers(
        "Webhook ID                            URL                        Include                Level\n\
         01234567-89ab-4def-8123-00000000044c  https://example.com/hooks  api:build,api:release  sync\n",
    );
    cli.paas(&["webhooks:info", WEBHOOK, "-a", "myapp"])
        .answers(
            "=== 01234567-89ab-4def-8123-00000000044c\n\n\
         Webhook ID:  01234567-89ab-4def-8123-00000000044c\n\
         URL:         https://example.com/hooks\n\
         Include:     api:build,api:release\n\
         Level:       sync\n",
        );
    let shown = cli.paas(&["webhooks:info", WEBHOOK, "-a", "myapp", "--json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown, webhook(URL));
}

#[test]
fn one_is_changed_where_it_is_said_and_removed() {
    let cli = Cli::new();
    let call = |method: &str| format!("{method} /apps/myapp/webhooks/{WEBHOOK}");
    cli.stub
        .on(&call("PATCH"), webhook(URL))
        .on(&call("DELETE"), webhook(URL));
    let update = [
        "webhooks:update",
        WEBHOOK,
        "-i",
        "api:dyno, api:build",
        "-t",
        "",
        "-a",
        "myapp",
    ];
    cli.paas(&update)
        .says(&format!("Updating webhook {WEBHOOK} of ⬢ myapp... done\n"));
    assert_eq!(
        cli.stub.seen(&call("PATCH"))[0].body,
        json!({"authorization": "", "include": ["api:dyno", " api:build"]})
    );
    cli.paas(&["webhooks:remove", WEBHOOK, "-a", "myapp"])
        .says(&format!(
            "Removing webhook {WEBHOOK} from ⬢ myapp... done\n"
        ));
}

#[test]
fn what_is_no_webhook_is_refused_here() {
    let cli = Cli::new();
    for nonsense in [
        &["webhooks:add", "-l", "sync", "-u", URL][..],
        &["webhooks:add", "-i", "api:app", "-u", URL],
        &["webhooks:add", "-i", "api:app", "-l", "sync"],
        &["webhooks:add", "-i", "api:app", "-l", "loud", "-u", URL],
        &["webhooks:info"],
    ] {
        let refused = cli.paas(nonsense);
        assert_eq!(refused.code, 2, "{nonsense:?}: {}", refused.stderr);
    }
}

#[test]
fn deliveries_tell_how_far_they_are() {
    let cli = Cli::new();
    let deliveries = json!([
        webhook_delivery(1, "pending", Value::Null),
        webhook_delivery(2, "retrying", webhook_attempt(None, Some("Timeout"))),
        webhook_delivery(3, "succeeded", webhook_attempt(Some(204), None)),
    ]);
    let one = format!("{DELIVERIES}/{}", text_of(&deliveries[1]));
    cli.stub
        .on(DELIVERIES, deliveries.clone())
        .on(&one, deliveries[1].clone())
        .on(
            &format!("GET /apps/myapp/webhook-events/{EVENT}"),
            webhook_event(),
        );
    cli.paas(&["webhooks:deliveries", "-a", "myapp"]).answers(
        "Delivery ID                           Created                    Status     Include      Level  Attempts  Code  Error    Next Attempt\n\
         01234567-89ab-4def-8123-0000000004b1  2026/11/22 13:24:10 +0000  pending    api:release  sync   0\n\
         01234567-89ab-4def-8123-0000000004b2  2026/11/22 13:24:10 +0000  retrying   api:release  sync   1               Timeout  2026/11/22 13:24:10 +0000\n\
         01234567-89ab-4def-8123-0000000004b3  2026/11/22 13:24:10 +0000  succeeded  api:release  sync   1         204\n",
    );
    let some = [
        "webhooks:deliveries",
        "-s",
        "retrying",
        "--json",
        "-a",
        "myapp",
    ];
    let some: Value = serde_json::from_str(&cli.paas(&some).stdout).unwrap();
    assert_eq!(some, json!([deliveries[1]]));
    cli.paas(&["webhooks:deliveries", "-s", "failed", "-a", "myapp"])
        .says("⬢ myapp has no such deliveries.\n");
    let info = [
        "webhooks:deliveries:info",
        &text_of(&deliveries[1]),
        "-a",
        "myapp",
    ];
    let info = cli.paas(&info).stdout;
    assert!(
        info.starts_with("=== 01234567-89ab-4def-8123-0000000004b2\n\nCreated:       2026/11/22")
            && info.contains("Status:        retrying\n")
            && info.contains("Error:         Timeout\n")
            && !info.contains("Code:")
            && info.contains("=== Event Payload\n\n{\n  \"action\": \"create\""),
        "{info}"
    );
}

#[test]
fn events_are_listed_and_shown_in_full() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp/webhook-events", json!([webhook_event()]))
        .on(
            &format!("GET /apps/myapp/webhook-events/{EVENT}"),
            webhook_event(),
        );
    cli.paas(&["webhooks:events", "-a", "myapp"]).answers(
        "Event ID                              Resource  Action  Created                    By\n\
         01234567-89ab-4def-8123-000000000514  release   create  2026/11/22 13:24:10 +0000  me@example.com\n",
    );
    let info = cli
        .paas(&["webhooks:events:info", EVENT, "-a", "myapp"])
        .stdout;
    assert!(info.contains("\"version\": 4"), "{info}");
}

#[test]
fn the_signing_secret_is_told_once_and_only_if_the_platform_made_it() {
    let platform = Platform::start();
    let cli = platform.cli();
    cli.paas(&["create", "myapp", "--no-remote"]);
    let add = [
        "webhooks:add",
        "-i",
        "api:app,dyno",
        "-l",
        "sync",
        "-u",
        URL,
        "-a",
        "myapp",
    ];
    let added = cli.paas(&add);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let secret = added
        .stdout
        .strip_prefix("=== Webhook Signing Secret\n\n")
        .unwrap();
    assert_eq!(secret.trim().len(), 64);
    assert!(
        added.stderr.contains("It is not shown again."),
        "{}",
        added.stderr
    );
    let chosen = cli.paas(&[&add[..], &["-s", "my own"]].concat());
    assert_eq!((chosen.code, chosen.stdout.as_str()), (0, ""));
    let json = cli.paas(&[&add[..], &["--json"]].concat());
    let made: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(made["include"], json!(["api:app", "api:dyno"]));
    assert!(json.stderr.contains("Signing secret: "), "{}", json.stderr);
    let http = [
        "webhooks:add",
        "-i",
        "api:app",
        "-l",
        "sync",
        "-u",
        "http://a.b",
        "-a",
        "myapp",
    ];
    let refused = cli.paas(&http);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("must begin with https://"),
        "{}",
        refused.stderr
    );
}
