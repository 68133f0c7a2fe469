use serde_json::json;

use super::harness::Cli;
use super::shapes::{app, buildpacks, collaborator, domain, drain, key, node};

const PACKS: &str = "GET /apps/myapp/buildpack-installations";
const SET_PACKS: &str = "PUT /apps/myapp/buildpack-installations";

#[test]
fn domains_are_listed_added_and_removed() {
    let cli = Cli::new();
    cli.stub
        .on(
            "GET /apps/myapp/domains",
            json!([
                domain("heroku", "myapp.paas.localhost", None),
                domain("custom", "www.example.com", Some("myapp.paas.localhost")),
                domain("custom", "example.com", Some("myapp.paas.localhost")),
            ]),
        )
        .on(
            "POST /apps/myapp/domains",
            domain("custom", "www.example.com", Some("myapp.paas.localhost")),
        )
        .on(
            "DELETE /apps/myapp/domains/www.example.com",
            domain("custom", "www.example.com", None),
        );
    cli.paas(&["domains", "-a", "myapp"]).answers(
        "=== myapp Platform Domain\n\nmyapp.paas.localhost\n\n=== myapp Custom Domains\n\n\
         Domain Name      DNS Record Type  DNS Target\n\
         www.example.com  CNAME            myapp.paas.localhost\n\
         example.com      ALIAS or ANAME   myapp.paas.localhost\n",
    );
    cli.paas(&["domains:add", "www.example.com", "-a", "myapp"])
        .says(
            "Adding www.example.com to ⬢ myapp... done\n \
         ▸    Have the DNS of www.example.com point to myapp.paas.localhost\n",
        );
    cli.paas(&["domains:remove", "www.example.com", "-a", "myapp"])
        .says("Removing www.example.com from ⬢ myapp... done\n");
}

#[test]
fn drains_are_listed_added_and_removed() {
    let cli = Cli::new();
    let (url, token) = (
        "https://u:p@logs.example.com/drain",
        "d.01234567-89ab-4def-8123-000000000009",
    );
    let encoded = "DELETE /apps/myapp/log-drains/https:%2F%2Fu:p@logs.example.com%2Fdrain";
    cli.stub
        .on("GET /apps/myapp/log-drains", json!([drain(url)]))
        .on("POST /apps/myapp/log-drains", drain(url))
        .on(encoded, drain(url));
    cli.paas(&["drains", "-a", "myapp"])
        .answers(&format!("=== myapp Drains\n\n{url}  {token}\n"));
    let json = cli.paas(&["drains", "--json", "-a", "myapp"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, json!([drain(url)]));
    cli.paas(&["drains:add", url, "-a", "myapp"]).says(&format!(
        "Adding drain {url} to ⬢ myapp... done\n ▸    Its token is {token}\n"
    ));
    assert_eq!(
        cli.stub.seen("POST /apps/myapp/log-drains")[0].body,
        json!({"url": url})
    );
    cli.paas(&["drains:remove", url, "-a", "myapp"])
        .says(&format!("Removing drain {url} from ⬢ myapp... done\n"));
    let cli = Cli::new();
    cli.stub.on("GET /apps/myapp/log-drains", json!([]));
    cli.paas(&["drains", "-a", "myapp"])
        .answers("myapp has no drains.\n");
}

#[test]
fn maintenance_is_shown_and_switched() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on("PATCH /apps/myapp", app("myapp"));
    cli.paas(&["maintenance", "-a", "myapp"]).answers("off\n");
    cli.paas(&["maintenance:on", "-a", "myapp"])
        .says("Enabling maintenance mode for ⬢ myapp... done\n");
    cli.paas(&["maintenance:off", "-a", "myapp"])
        .says("Disabling maintenance mode for ⬢ myapp... done\n");
    let bodies: Vec<_> = cli
        .stub
        .seen("PATCH /apps/myapp")
        .into_iter()
        .map(|seen| seen.body)
        .collect();
    assert_eq!(
        bodies,
        [
            json!({ "maintenance": true }),
            json!({ "maintenance": false })
        ]
    );
}

#[test]
fn buildpacks_are_a_list_that_is_changed_in_place() {
    let cli = Cli::new();
    cli.stub
        .on(
            PACKS,
            buildpacks(&[
                "urn:buildpack:heroku/nodejs",
                "https://git.example.com/pack.git#v3",
            ]),
        )
        .on(SET_PACKS, json!([]));
    let paas = |args: &[&str]| cli.paas(&[args, &["-a", "myapp"]].concat());
    paas(&["buildpacks"]).answers(
        "=== myapp Buildpacks\n\n1. heroku/nodejs\n2. https://git.example.com/pack.git#v3\n",
    );
    paas(&["buildpacks:add", "heroku/python", "-i", "1"]).says(
        "Buildpack added. Next release on ⬢ myapp will use:\n  1. heroku/python\n  2. heroku/nodejs\n  \
         3. https://git.example.com/pack.git#v3\nRun git push paas main to make it.\n",
    );
    paas(&["buildpacks:set", "heroku/ruby", "-i", "2"]);
    paas(&["buildpacks:remove", "-i", "2"])
        .says("Buildpack removed. Next release on ⬢ myapp will use heroku/nodejs.\nRun git push paas main to make it.\n");
    paas(&["buildpacks:remove", "2"])
        .says("Buildpack removed. Next release on ⬢ myapp will use heroku/nodejs.\nRun git push paas main to make it.\n");
    assert_eq!(paas(&["buildpacks:remove", "3"]).code, 1);
    paas(&["buildpacks:clear"])
        .says("Buildpacks cleared. Next release on ⬢ myapp will detect buildpacks normally.\n");
    paas(&["buildpacks:add", "heroku/nodejs"]).fails(
        1,
        " ▸    Error: The buildpack heroku/nodejs is already set on myapp\n",
    );
    let put: Vec<_> = cli
        .stub
        .seen(SET_PACKS)
        .into_iter()
        .map(|seen| seen.body["updates"].clone())
        .collect();
    let pack = |name: &str| json!({ "buildpack": name });
    assert_eq!(
        put,
        [
            json!([
                pack("heroku/python"),
                pack("heroku/nodejs"),
                pack("https://git.example.com/pack.git#v3")
            ]),
            json!([pack("heroku/nodejs"), pack("heroku/ruby")]),
            json!([pack("heroku/nodejs")]),
            json!([pack("heroku/nodejs")]),
            json!([]),
        ]
    );
}

#[test]
fn keys_are_found_added_and_removed() {
    let cli = Cli::new();
    cli.stub
        .on(
            "GET /account/keys",
            json!([key("me@laptop"), key("me@work")]),
        )
        .on("POST /account/keys", key("me@laptop"));
    let id = key("")["id"].as_str().unwrap().to_owned();
    cli.stub
        .on(&format!("DELETE /account/keys/{id}"), key("me@laptop"));
    cli.paas(&["keys"]).answers(
        "=== me@example.com keys\n\n\
         ssh-ed25519 AAAAC3NzaC...IHQy0Bq8n7  me@laptop  SHA256:me@laptop\n\
         ssh-ed25519 AAAAC3NzaC...IHQy0Bq8n7  me@work    SHA256:me@work\n",
    );
    let none = cli.paas(&["keys:add"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("ssh-keygen"), "{}", none.stderr);

    let ssh = cli.home.path().join(".ssh");
    std::fs::create_dir(&ssh).unwrap();
    std::fs::write(ssh.join("id_ed25519.pub"), "ssh-ed25519 AAAA me@laptop\n").unwrap();
    std::fs::write(
        ssh.join("id_ed25519"),
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    )
    .unwrap();
    assert_eq!(cli.paas(&["keys:add"]).code, 0);
    let sent = cli.stub.seen("POST /account/keys");
    assert_eq!(
        sent[0].body,
        json!({ "public_key": "ssh-ed25519 AAAA me@laptop" })
    );
    let private = ssh.join("id_ed25519").to_string_lossy().into_owned();
    assert_eq!(cli.paas(&["keys:add", &private]).code, 2);
    assert_eq!(cli.stub.seen("POST /account/keys").len(), 1);
    cli.paas(&["keys:remove", "me@laptop"])
        .says("Removing me@laptop SSH key... done\n");
}

#[test]
fn people_are_let_in_and_taken_off() {
    let cli = Cli::new();
    let friend = collaborator("friend@example.com", "collaborator");
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on(
            "GET /apps/myapp/collaborators",
            json!([collaborator("me@example.com", "owner"), friend.clone()]),
        )
        .on("POST /apps/myapp/collaborators", friend.clone())
        .on(
            "PATCH /apps/myapp/collaborators/friend@example.com",
            friend.clone(),
        )
        .on(
            "DELETE /apps/myapp/collaborators/friend@example.com",
            friend,
        );
    cli.paas(&["access", "-a", "myapp"]).answers(
        "=== myapp Access\n\nfriend@example.com  collaborator\nme@example.com      owner\n",
    );
    cli.paas(&["access:add", "friend@example.com", "-a", "myapp"])
        .says("Adding friend@example.com access to the app ⬢ myapp... done\n");
    let sent = &cli.stub.seen("POST /apps/myapp/collaborators")[0].body;
    assert!(sent.get("permissions").is_none(), "{sent}");
    let update = [
        "access:update",
        "friend@example.com",
        "-a",
        "myapp",
        "-p",
        "view,deploy",
    ];
    cli.paas(&update)
        .says("Updating friend@example.com in the app ⬢ myapp... done\n");
    let sent = &cli
        .stub
        .seen("PATCH /apps/myapp/collaborators/friend@example.com")[0]
        .body;
    assert_eq!(*sent, json!({"permissions": ["view", "deploy"]}));
    cli.paas(&["access:remove", "friend@example.com", "-a", "myapp"])
        .says("Removing friend@example.com access from the app ⬢ myapp... done\n");
}

#[test]
fn nodes_show_how_full_they_are() {
    let cli = Cli::new();
    cli.stub.on("GET /nodes", json!([node()]));
    cli.paas(&["nodes"]).answers(
        "Name    State  Zone  Dynos  Memory reserved   CPUs  Address   Roles        Tags\n\
         node-1  up     a     3      1.5 GB of 8.0 GB  4     10.0.0.7  router,node  disk=ssd\n",
    );
    cli.stub.on("GET /nodes/node-1", node());
    let info = cli.paas(&["nodes:info", "node-1"]).stdout;
    assert!(info.starts_with("=== node-1\n"), "{info}");
    assert!(
        info.contains("Memory reserved:  1.5 GB of 8.0 GB\n"),
        "{info}"
    );
    assert!(info.contains("Tags:             disk=ssd\n"), "{info}");
}

#[test]
fn hosts_are_let_in_tagged_and_forgotten() {
    let cli = Cli::new();
    let token = json!({
        "id": "01234567-89ab-cdef-0123-456789abcdef",
        "token": "paasj_secret",
        "roles": ["router", "node"],
        "uses": 2,
        "expires_at": "2030-01-01T00:00:00Z",
    });
    cli.stub
        .on("POST /node-tokens", token)
        .on("PATCH /nodes/node-1", node())
        .on("DELETE /nodes/node-1", node());
    let said = cli.paas(&["nodes:token", "--uses", "2", "--expires-in", "12h"]);
    assert_eq!(said.stdout, "paasj_secret\n", "for scripts");
    assert!(
        said.stderr.contains("For 2 hosts as router, node"),
        "{}",
        said.stderr
    );
    let asked = &cli.stub.seen("POST /node-tokens")[0].body;
    assert_eq!(*asked, json!({"uses": 2, "expires_in": 43200}));
    assert_eq!(cli.paas(&["nodes:token", "--roles", "king"]).code, 2);

    cli.paas(&["nodes:tag", "node-1", "gpu=yes", "disk-"])
        .says("Tagging node-1... done\n");
    let asked = &cli.stub.seen("PATCH /nodes/node-1")[0].body;
    assert_eq!(*asked, json!({"tags": {"gpu": "yes", "disk": null}}));
    assert!(
        cli.paas(&["nodes:tag", "node-1", "gpu"])
            .stderr
            .contains("disk=ssd to set one")
    );
    cli.paas(&["nodes:remove", "node-1"])
        .says("Removing node-1... done\n");
}

#[test]
fn a_node_is_cordoned_drained_and_uncordoned() {
    let cli = Cli::new();
    cli.stub.on("PATCH /nodes/node-1", node());
    cli.paas(&["nodes:cordon", "node-1"])
        .says("Cordoning node-1... done\n");
    cli.paas(&["nodes:drain", "node-1", "--no-wait"])
        .says("Draining node-1... done, 3 dynos to move\n");
    let mut empty = node();
    empty["dynos"] = json!(0);
    cli.stub.on("GET /nodes/node-1", empty);
    cli.paas(&["nodes:drain", "node-1"])
        .says("Draining node-1... done\n");
    cli.paas(&["nodes:uncordon", "node-1"])
        .says("Uncordoning node-1... done\n");
    let asked = cli.stub.seen("PATCH /nodes/node-1");
    let asked: Vec<_> = asked.iter().map(|seen| &seen.body).collect();
    assert_eq!(
        asked,
        [
            &json!({"cordoned": true}),
            &json!({"draining": true}),
            &json!({"draining": true}),
            &json!({"cordoned": false, "draining": false})
        ]
    );
}
