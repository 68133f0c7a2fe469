//! Teams: who is in them, what they own, and apps and pipelines that are given to them.

use serde_json::{Value, json};

use super::harness::{Cli, Outcome};
use super::platform::Platform;
use super::shapes::{account, app, collaborator, team, team_app, team_member};
use super::stub::Stub;

#[track_caller]
fn has(outcome: &Outcome, text: &str) {
    assert!(
        outcome.stdout.contains(text) || outcome.stderr.contains(text),
        "{outcome:?}"
    );
}

fn locked(name: &str) -> Value {
    let mut app = team_app(name);
    app["locked"] = true.into();
    app
}

#[test]
fn teams_are_listed_with_what_one_is_to_them() {
    let cli = Cli::new();
    let mut zoo = team("zoo");
    zoo["role"] = "viewer".into();
    cli.stub.on("GET /teams", json!([zoo, team("acme")]));
    for verb in ["teams", "orgs"] {
        cli.paas(&[verb])
            .answers("=== Teams\n\nacme  admin\nzoo   viewer\n");
    }
    let json: Value = serde_json::from_str(&cli.paas(&["teams", "--json"]).stdout).unwrap();
    assert_eq!(json[0]["name"], "acme");
    let alone = Cli::new();
    alone.stub.on("GET /teams", json!([]));
    alone
        .paas(&["teams"])
        .answers("")
        .says("You are in no team. Make one with `paas teams:create`.\n");
}

#[test]
fn a_team_is_made_renamed_and_destroyed_by_its_name() {
    let cli = Cli::new();
    cli.stub
        .on("POST /teams", team("acme"))
        .on("PATCH /teams/acme", team("zoo"))
        .on("GET /teams/zoo", team("zoo"))
        .on("DELETE /teams/zoo", team("zoo"));
    cli.paas(&["teams:create", "acme"]).says(
        "Creating the team acme... done\n \
         ▸    Let others in with: paas members:add EMAIL --team acme --role member\n",
    );
    assert_eq!(
        cli.stub.seen("POST /teams")[0].body,
        json!({ "name": "acme" })
    );
    cli.paas(&["teams:rename", "acme", "zoo"])
        .says("Renaming the team acme to zoo... done\n");
    assert_eq!(
        cli.stub.seen("PATCH /teams/acme")[0].body,
        json!({ "name": "zoo" })
    );
    cli.paas(&["teams:destroy", "zoo", "--confirm", "acme"])
        .fails(
            1,
            " ▸    Error: Confirmation acme did not match zoo: nothing was destroyed\n",
        );
    let asked = cli.paas(&["teams:destroy", "zoo"]);
    assert_eq!(asked.code, 2);
    has(&asked, "--confirm zoo");
    assert!(cli.stub.seen("DELETE /teams/zoo").is_empty());
    cli.paas(&["teams:destroy", "zoo", "--confirm", "zoo"])
        .says("Destroying the team zoo... done\n");
}

#[test]
fn a_team_is_shown_with_its_people_and_apps() {
    let mut cli = Cli::new();
    cli.stub
        .on("GET /teams/acme", team("acme"))
        .on(
            "GET /teams/acme/members",
            json!([
                team_member("me@example.com", "admin"),
                team_member("bob@example.com", "member")
            ]),
        )
        .on(
            "GET /teams/acme/apps",
            json!([locked("shop"), team_app("blog")]),
        );
    let shown = "=== acme\n\n\
         Apps:       blog, shop (locked)\n\
         Created:    2026/11/22 13:24:10 +0000\n\
         Members:    bob@example.com (member), me@example.com (admin)\n\
         Your role:  admin\n";
    cli.paas(&["teams:info", "acme"]).answers(shown);
    let json = cli.paas(&["teams:info", "acme", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["members"][0]["email"], "bob@example.com");
    assert_eq!(json["apps"][1]["locked"], true);
    cli.set("PAAS_TEAM", "acme");
    cli.paas(&["teams:info"]).answers(shown);
}

#[test]
fn members_are_listed_in_order_and_by_role() {
    let mut cli = Cli::new();
    cli.stub.on(
        "GET /teams/acme/members",
        json!([
            team_member("me@example.com", "admin"),
            team_member("bob@example.com", "member")
        ]),
    );
    cli.paas(&["members", "--team", "acme"])
        .answers("=== acme Members\n\nbob@example.com  member\nme@example.com   admin\n");
    cli.paas(&["members", "-t", "acme", "-r", "admin"])
        .answers("=== acme Members\n\nme@example.com  admin\n");
    cli.paas(&["members", "-t", "acme", "--role", "viewer"])
        .answers("")
        .says("No members in acme with role viewer\n");
    cli.set("PAAS_TEAM", "acme");
    let json = cli.paas(&["members", "--role", "member", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["email"], "bob@example.com");
}

#[test]
fn people_are_let_into_a_team_with_a_role_and_taken_out_of_it() {
    let cli = Cli::new();
    let bob = team_member("bob@example.com", "member");
    cli.stub
        .on("PUT /teams/acme/members", bob.clone())
        .on("PATCH /teams/acme/members", bob.clone())
        .on("DELETE /teams/acme/members/bob@example.com", bob);
    let of = |verb: &str, rest: &[&str]| {
        let args = [&[verb, "bob@example.com", "-t", "acme"], rest].concat();
        cli.paas(&args)
    };
    of("members:add", &["--role", "member"])
        .says("Adding bob@example.com to acme as member... done\n");
    assert_eq!(
        cli.stub.seen("PUT /teams/acme/members")[0].body,
        json!({ "email": "bob@example.com", "role": "member" })
    );
    of("members:set", &["-r", "admin"]).says("Setting bob@example.com in acme to admin... done\n");
    assert_eq!(
        cli.stub.seen("PATCH /teams/acme/members")[0].body,
        json!({ "email": "bob@example.com", "role": "admin" })
    );
    of("members:remove", &[]).says("Removing bob@example.com from acme... done\n");
}

#[test]
fn a_role_that_there_is_not_and_a_team_that_is_not_named_are_told_of_before_anything_is_asked() {
    let mut cli = Cli::new();
    let add = ["members:add", "bob@example.com", "-t", "acme"];
    let outcome = cli.paas(&[&add[..], &["-r", "boss"]].concat());
    assert_eq!(outcome.code, 2);
    has(&outcome, "viewer, member, admin");
    let outcome = cli.paas(&add);
    assert_eq!(outcome.code, 2);
    has(&outcome, "--role <ROLE>");
    for usual in [None, Some("")] {
        if let Some(usual) = usual {
            cli.set("PAAS_TEAM", usual);
        }
        let outcome = cli.paas(&["members"]);
        assert_eq!(outcome.code, 2);
        has(&outcome, "--team <TEAM>");
    }
    assert!(cli.stub.seen("PUT /teams/acme/members").is_empty());
}

#[test]
fn a_refusal_that_says_what_to_do_is_left_at_that() {
    let cli = Cli::new();
    let why =
        "You may only look at the team acme. Its administrators can change that: paas members:set";
    cli.stub.refuse(
        "DELETE /teams/acme/members/bob@x.com",
        403,
        "forbidden",
        why,
    );
    cli.paas(&["members:remove", "bob@x.com", "-t", "acme"])
        .fails(
            1,
            &format!("Removing bob@x.com from acme... !\n ▸    Error: {why}\n"),
        );
}

#[test]
fn an_app_is_locked_and_unlocked_unless_it_is_so_already() {
    let cli = Cli::new();
    cli.stub
        .on("GET /teams/apps/myapp", team_app("myapp"))
        .on("GET /teams/apps/myapp", locked("myapp"))
        .on("PATCH /teams/apps/myapp", team_app("myapp"));
    cli.paas(&["lock", "-a", "myapp"])
        .says("Locking ⬢ myapp... done\n");
    cli.paas(&["apps:lock", "-a", "myapp"])
        .fails(1, " ▸    Error: Cannot lock myapp: it is locked already\n");
    cli.paas(&["unlock", "-a", "myapp"])
        .says("Unlocking ⬢ myapp... done\n");
    cli.stub.on("GET /teams/apps/open", team_app("open"));
    cli.paas(&["apps:unlock", "-a", "open"])
        .fails(1, " ▸    Error: Cannot unlock open: it is not locked\n");
    let sent = cli.stub.seen("PATCH /teams/apps/myapp");
    let sent: Vec<_> = sent.iter().map(|seen| &seen.body).collect();
    assert_eq!(
        sent,
        [&json!({ "locked": true }), &json!({ "locked": false })]
    );
}

#[test]
fn one_joins_an_app_of_the_team_and_leaves_it() {
    let cli = Cli::new();
    let me = collaborator("me@example.com", "collaborator");
    cli.stub
        .on("GET /account", account())
        .on("POST /teams/apps/myapp/collaborators", me.clone())
        .on("DELETE /apps/myapp/collaborators/me@example.com", me);
    cli.paas(&["join", "-a", "myapp"])
        .says("Joining ⬢ myapp... done\n");
    let sent = &cli.stub.seen("POST /teams/apps/myapp/collaborators")[0].body;
    assert_eq!(*sent, json!({ "user": "me@example.com" }));
    cli.paas(&["leave", "-a", "myapp"])
        .says("Leaving ⬢ myapp... done\n");
}

#[test]
fn the_apps_of_a_team_are_listed_by_themselves() {
    let mut cli = Cli::new();
    cli.stub
        .on(
            "GET /teams/acme/apps",
            json!([locked("shop"), team_app("blog")]),
        )
        .on("GET /teams/zoo/apps", json!([]))
        .on("GET /users/~/apps", json!([app("myapp"), team_app("blog")]))
        .on("GET /apps", json!([app("myapp"), team_app("blog")]))
        .on("GET /account", account());
    let of_acme = "=== Apps in team acme\n\nblog\nshop (locked)\n";
    cli.paas(&["apps", "--team", "acme"]).answers(of_acme);
    cli.paas(&["apps", "-t", "zoo"])
        .answers("")
        .says("There are no apps in team zoo.\n");
    let json = cli.paas(&["apps", "-t", "acme", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["locked"], true);

    // Elsewhere a team's app is told from those of accounts.
    let own = "=== me@example.com Apps\n\nmyapp\n\n=== Collaborated Apps\n\nblog  acme (team)\n";
    cli.paas(&["apps"]).answers(own);
    cli.set("PAAS_TEAM", "acme");
    cli.paas(&["apps"]).answers(of_acme);
    cli.paas(&["apps", "--personal"]).answers(own);
    assert!(cli.paas(&["apps", "--all"]).stdout.contains("Other Apps"));
    assert_eq!(cli.paas(&["apps", "--all", "-t", "zoo"]).code, 2);
    cli.set("PAAS_TEAM", "");
    cli.paas(&["apps"]).answers(own);
}

#[test]
fn an_app_is_made_for_a_team() {
    let cli = Cli::new();
    cli.stub.on("POST /teams/apps", team_app("myapp"));
    cli.paas(&["create", "myapp", "-t", "acme", "--locked", "--no-remote"])
        .says("Creating ⬢ myapp in team acme... done\n");
    assert_eq!(
        cli.stub.seen("POST /teams/apps")[0].body,
        json!({ "name": "myapp", "team": "acme", "locked": true })
    );
    let outcome = cli.paas(&["create", "myapp", "--locked"]);
    assert_eq!(outcome.code, 2);
    has(&outcome, "--team");
}

#[test]
fn an_app_is_given_to_a_team_at_once_and_locked_there_if_asked() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on("PATCH /teams/apps/myapp", team_app("myapp"));
    cli.paas(&["apps:transfer", "acme", "-a", "myapp", "--locked"])
        .says("Transferring ⬢ myapp to acme... done\nLocking ⬢ myapp... done\n");
    let sent = cli.stub.seen("PATCH /teams/apps/myapp");
    let sent: Vec<_> = sent.iter().map(|seen| &seen.body).collect();
    assert_eq!(
        sent,
        [&json!({ "owner": "acme" }), &json!({ "locked": true })]
    );
    let outcome = cli.paas(&["apps:transfer", "bob@x.com", "-a", "myapp", "-l"]);
    assert_eq!(outcome.code, 2);
}

#[test]
fn a_teams_app_is_given_to_somebody_only_by_who_says_its_name() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", team_app("myapp"))
        .on("PATCH /teams/apps/myapp", team_app("myapp"));
    let transfer = ["apps:transfer", "bob@example.com", "-a", "myapp"];
    let asked = cli.paas(&transfer);
    assert_eq!(asked.code, 2);
    has(&asked, "All its collaborators are removed");
    has(&asked, "--confirm myapp");
    assert!(cli.stub.seen("PATCH /teams/apps/myapp").is_empty());
    cli.paas(&[&transfer[..], &["--confirm", "myapp"]].concat())
        .says("Transferring ⬢ myapp to bob@example.com... done\n");
    assert_eq!(
        cli.stub.seen("PATCH /teams/apps/myapp")[0].body,
        json!({ "owner": "bob@example.com" })
    );
}

#[test]
fn an_app_of_ones_own_is_still_offered() {
    let cli = Cli::new();
    let user = |email: &str| json!({ "id": app("x")["id"], "email": email });
    let offered = json!({
        "app": { "id": app("x")["id"], "name": "myapp" }, "created_at": account()["created_at"], "id": app("x")["id"],
        "owner": user("me@example.com"), "recipient": user("bob@example.com"), "state": "pending",
        "updated_at": account()["created_at"],
    });
    cli.stub
        .on("GET /apps/myapp", app("myapp"))
        .on("POST /account/app-transfers", offered);
    cli.paas(&["apps:transfer", "bob@example.com", "-a", "myapp"])
        .says(
            "Transferring ⬢ myapp to bob@example.com... offered\n \
             ▸    It is yours until they accept it, by: paas apps:transfers:accept myapp\n",
        );
}

#[test]
fn info_names_the_team_and_says_whether_the_app_is_locked() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", team_app("myapp"))
        .on("GET /apps/myapp/dynos", json!([]))
        .on(
            "GET /apps/myapp/collaborators",
            json!([collaborator("acme@herokumanager.com", "owner")]),
        )
        .on("GET /teams/apps/myapp", locked("myapp"));
    let info = cli.paas(&["info", "-a", "myapp"]);
    has(&info, "\nOwner:      acme (team)\n");
    has(&info, "\nLocked:     yes\n");
    assert!(!info.stdout.contains("herokumanager"), "{}", info.stdout);
    let shell = cli.paas(&["info", "-a", "myapp", "--shell"]);
    has(&shell, "\nteam=acme\n");
    let json = cli.paas(&["info", "-a", "myapp", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["locked"], true);
}

#[test]
fn the_admins_of_the_team_are_among_those_who_may_work_on_its_app() {
    let cli = Cli::new();
    let view = json!({ "name": "view", "description": "" });
    let manage = json!({ "name": "manage", "description": "" });
    let mut owner = collaborator("acme@herokumanager.com", "owner");
    owner["permissions"] = json!([view, manage]);
    let mut friend = collaborator("friend@example.com", "collaborator");
    friend["permissions"] = json!([view]);
    cli.stub
        .on("GET /apps/myapp", team_app("myapp"))
        .on(
            "GET /apps/myapp/collaborators",
            // An admin who has joined the app is told of once.
            json!([
                owner,
                friend,
                collaborator("me@example.com", "collaborator")
            ]),
        )
        .on(
            "GET /teams/acme/members",
            json!([
                team_member("me@example.com", "admin"),
                team_member("bob@example.com", "member")
            ]),
        );
    cli.paas(&["access", "-a", "myapp"]).answers(
        "=== myapp Access\n\n\
         friend@example.com  collaborator  view\n\
         me@example.com      admin         view, manage\n",
    );
    let json = cli.paas(&["access", "-a", "myapp", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let roles = json.as_array().unwrap().iter();
    let roles: Vec<_> = roles.map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["owner", "collaborator", "admin"]);
}

#[test]
fn who_may_not_see_the_team_is_shown_the_collaborators() {
    let cli = Cli::new();
    cli.stub
        .on("GET /apps/myapp", team_app("myapp"))
        .on(
            "GET /apps/myapp/collaborators",
            json!([
                collaborator("acme@herokumanager.com", "owner"),
                collaborator("me@example.com", "collaborator")
            ]),
        )
        .refuse("GET /teams/acme/members", 403, "forbidden", "You may not.");
    cli.paas(&["access", "-a", "myapp"])
        .answers("=== myapp Access\n\nme@example.com  collaborator\n");
}

fn pipeline(owner: &str) -> Value {
    let at = &team("acme")["created_at"];
    json!({
        "created_at": at, "generation": { "id": team("acme")["id"], "name": "cedar" }, "id": app("x")["id"],
        "name": "mypipe", "owner": { "id": team("acme")["id"], "type": owner }, "updated_at": at,
    })
}

fn coupling() -> Value {
    let pipeline = pipeline("team");
    json!({
        "app": { "id": app("x")["id"] }, "created_at": pipeline["created_at"], "id": app("x")["id"],
        "pipeline": { "id": pipeline["id"], "name": "mypipe" }, "stage": "staging", "updated_at": pipeline["created_at"],
    })
}

#[test]
fn a_pipeline_is_made_for_a_team_given_to_one_and_shown_as_its() {
    let cli = Cli::new();
    let couplings = format!(
        "GET /pipelines/{}/pipeline-couplings",
        app("x")["id"].as_str().unwrap()
    );
    let team_id = team("acme")["id"].as_str().unwrap().to_owned();
    let owner = json!({ "id": team_id, "type": "team" });
    cli.stub
        .on("GET /teams/acme", team("acme"))
        .on(&format!("GET /teams/{team_id}"), team("acme"))
        .on("POST /pipelines", pipeline("team"))
        .on("POST /pipeline-couplings", coupling())
        .on("GET /pipelines/mypipe", pipeline("team"))
        .on(&couplings, json!([coupling()]))
        .on("POST /filters/apps", json!([team_app("myapp-staging")]))
        .on(
            "POST /pipeline-transfers",
            json!({ "new_owner": owner, "pipeline": { "id": app("x")["id"] }, "previous_owner": owner }),
        );
    let create = ["pipelines:create", "mypipe", "-a", "myapp-staging"];
    cli.paas(&[&create[..], &["--team", "acme"]].concat()).says(
        "Creating the pipeline mypipe in team acme... done\n\
         Adding ⬢ myapp-staging to the pipeline as staging... done\n",
    );
    assert_eq!(
        cli.stub.seen("POST /pipelines")[0].body,
        json!({ "name": "mypipe", "owner": team_id })
    );
    cli.paas(&["pipelines:info", "mypipe"])
        .answers("=== mypipe\n\nOwner:  acme (team)\n\nmyapp-staging  staging\n");
    let transfer = [
        "pipelines:transfer",
        "mypipe",
        "acme",
        "--confirm",
        "mypipe",
    ];
    cli.paas(&transfer)
        .says("Transferring mypipe to acme... done\n");
    assert_eq!(
        cli.stub.seen("POST /pipeline-transfers")[0].body["new_owner"],
        team_id
    );
}

#[test]
fn a_pipeline_of_a_team_one_may_not_see_is_shown_without_it() {
    let cli = Cli::new();
    let couplings = format!(
        "GET /pipelines/{}/pipeline-couplings",
        app("x")["id"].as_str().unwrap()
    );
    cli.stub
        .on("GET /pipelines/mypipe", pipeline("team"))
        .on(&couplings, json!([coupling()]))
        .on("POST /filters/apps", json!([team_app("myapp-staging")]));
    cli.paas(&["pipelines:info", "mypipe"])
        .answers("=== mypipe\n\nmyapp-staging  staging\n");
}

/// Somebody new on the platform, logged in.
fn account_of(platform: &Platform, email: &str) -> Cli {
    let password = b"a long enough password";
    let admin = platform.cli();
    let made = admin.paas_with_stdin(&["accounts:create", email, "--password-stdin"], password);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let cli = Cli::logged_out(Stub::start());
    let api = platform.api();
    let login = ["login", "--api", &api, "--email", email, "--password-stdin"];
    let outcome = cli.paas_with_stdin(&login, password);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    cli
}

#[test]
fn a_team_owns_an_app_that_its_members_join_and_others_do_not_see() {
    let platform = Platform::start();
    let ann = account_of(&platform, "ann@example.com");
    let bob = account_of(&platform, "bob@example.com");
    let ok = |cli: &Cli, args: &[&str]| {
        let outcome = cli.paas(args);
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.stderr);
        outcome
    };
    ok(&ann, &["teams:create", "acme"]);
    let make = ["create", "shop", "-t", "acme", "--locked", "--no-remote"];
    ok(&ann, &make);
    has(
        &bob.paas(&["members", "-t", "acme"]),
        "There is no team acme, or you are not in it. See `paas teams`.",
    );
    let add = ["members:add", "bob@example.com", "-t", "acme"];
    ok(&ann, &[&add[..], &["-r", "member"]].concat());
    ok(&bob, &["teams"]).answers("=== Teams\n\nacme  member\n");
    ok(&bob, &["members", "-t", "acme"])
        .answers("=== acme Members\n\nann@example.com  admin\nbob@example.com  member\n");
    assert_eq!(bob.paas(&["info", "shop"]).code, 1, "it is locked");
    has(&bob.paas(&["teams:rename", "acme", "bobs"]), "Error: ");

    ok(&ann, &["unlock", "-a", "shop"]);
    ok(&bob, &["apps", "-t", "acme"]).answers("=== Apps in team acme\n\nshop\n");
    ok(&bob, &["join", "-a", "shop"]);
    ok(&bob, &["config:set", "A=1", "-a", "shop", "--no-wait"]);
    ok(&bob, &["access", "-a", "shop"]).answers(
        "=== shop Access\n\n\
         ann@example.com  admin         view, deploy, operate, manage\n\
         bob@example.com  collaborator  view, deploy, operate\n",
    );
    ok(&ann, &["lock", "-a", "shop"]);
    let info = ok(&bob, &["info", "shop"]);
    has(&info, "Collaborators:  ann@example.com, bob@example.com\n");
    has(&info, "Locked:         yes\n");
    has(&info, "Owner:          acme (team)\n");
    let pipeline = ["pipelines:create", "shops", "-a", "shop", "-t", "acme"];
    ok(&ann, &pipeline);
    has(
        &ok(&bob, &["pipelines:info", "shops"]),
        "Owner:  acme (team)\n",
    );
    ok(&bob, &["leave", "-a", "shop"]);
    assert_eq!(bob.paas(&["info", "shop"]).code, 1, "it is locked");

    let destroy = ["teams:destroy", "acme", "--confirm", "acme"];
    has(&ann.paas(&destroy), "owns 1 apps and 1 pipelines");
    ok(&ann, &["pipelines:destroy", "shops"]);
    ok(&ann, &["access:add", "bob@example.com", "-a", "shop"]);
    let give = ["apps:transfer", "bob@example.com", "-a", "shop"];
    ok(&ann, &[&give[..], &["--confirm", "shop"]].concat());
    ok(&bob, &["apps"]).answers("=== bob@example.com Apps\n\nshop\n");
    ok(&bob, &["apps:transfer", "acme", "-a", "shop"]);
    ok(&ann, &["destroy", "shop", "--confirm", "shop"]);
    ok(&ann, &["teams:rename", "acme", "zoo"]);
    ok(&bob, &["members:remove", "bob@example.com", "-t", "zoo"]);
    ok(&ann, &["teams:destroy", "zoo", "--confirm", "zoo"]);
}
