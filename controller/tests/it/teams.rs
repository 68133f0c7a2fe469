//! Teams: who is in them, what that lets them do with the team's apps, and how these change hands.

use serde_json::{Value, json};
use store::key;

use crate::harness::{Answer, Platform, User, each};
use crate::world::id_of;

/// A team of `admin`'s, with these in it.
async fn team(admin: &User, name: &str, others: &[(&User, &str)]) {
    admin
        .post("/teams", json!({"name": name}))
        .await
        .expect(201);
    for (user, role) in others {
        set(admin, name, user, role).await.expect(200);
    }
}

async fn set(by: &User, team: &str, user: &User, role: &str) -> Answer {
    let body = json!({"email": user.email, "role": role});
    by.put(&format!("/teams/{team}/members"), body).await
}

async fn remove(by: &User, team: &str, user: &User) -> Answer {
    by.delete(&format!("/teams/{team}/members/{}", user.email))
        .await
}

async fn team_app(by: &User, team: &str, name: &str) -> Value {
    let create = json!({"name": name, "team": team});
    by.post("/teams/apps", create).await.expect(201)
}

async fn join(by: &User, app: &str) -> Answer {
    let path = format!("/teams/apps/{app}/collaborators");
    by.post(&path, json!({"user": by.email})).await
}

async fn status(user: &User, path: &str) -> u16 {
    user.get(path).await.status.as_u16()
}

#[tokio::test]
async fn a_team_has_members_with_roles_and_always_an_administrator() {
    let platform = Platform::start().await;
    let (ann, bob, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("eve").await,
    );
    let made = ann.post("/teams", json!({"name": "acme"})).await;
    let made = made.expect(201);
    assert_eq!(
        (&made["role"], &made["type"]),
        (&json!("admin"), &json!("team"))
    );
    let (_, taken) = bob.post("/teams", json!({"name": "acme"})).await.error(422);
    assert_eq!(taken, "Name acme is already taken");
    let (_, bad) = bob.post("/teams", json!({"name": "apps"})).await.error(422);
    assert!(bad.contains("Team name"), "{bad}");

    // To a stranger it is not there; by name, id and address it is one.
    assert_eq!(status(&bob, "/teams/acme").await, 404);
    assert_eq!(bob.get("/teams").await.expect(200), json!([]));
    let id = made["id"].as_str().unwrap();
    for identity in [id, "acme", "acme@herokumanager.com"] {
        let seen = ann.get(&format!("/teams/{identity}")).await.expect(200);
        assert_eq!(seen["id"], made["id"]);
    }

    set(&ann, "acme", &bob, "viewer").await.expect(200);
    assert_eq!(bob.get("/teams").await.expect(200)[0]["role"], "viewer");
    set(&bob, "acme", &eve, "member").await.error(403);
    let twice = json!({"email": bob.email, "role": "member"});
    let path = "/teams/acme/members";
    ann.post(path, twice.clone()).await.error(422);
    ann.patch(path, twice).await.expect(200);
    let absent = json!({"email": eve.email, "role": "member"});
    ann.patch(path, absent).await.error(404);
    let (_, who) = ann
        .put(
            path,
            json!({"email": "nobody@example.com", "role": "member"}),
        )
        .await
        .error(422);
    assert!(who.contains("paas accounts:invite"), "{who}");
    let (_, role) = set(&ann, "acme", &eve, "owner").await.error(422);
    assert!(role.contains("admin, member or viewer"), "{role}");
    let members = bob.get(path).await.expect(200);
    assert_eq!(each(&members, "role"), ["admin", "member"]);

    // The last administrator stays one.
    let (_, last) = set(&ann, "acme", &ann, "member").await.error(422);
    assert!(last.contains("last administrator"), "{last}");
    remove(&ann, "acme", &ann).await.error(422);
    remove(&bob, "acme", &ann).await.error(403);
    set(&ann, "acme", &bob, "admin").await.expect(200);
    remove(&ann, "acme", &ann).await.expect(200);
    assert_eq!(status(&ann, "/teams/acme").await, 404);

    let renamed = bob.patch("/teams/acme", json!({"name": "acme-two"})).await;
    assert_eq!(renamed.expect(200)["name"], "acme-two");
    assert_eq!(status(&bob, "/teams/acme").await, 404);
    team(&ann, "acme", &[]).await;
    bob.patch("/teams/acme-two", json!({"name": "acme"}))
        .await
        .error(422);
}

#[tokio::test]
async fn of_two_administrators_who_put_each_other_down_at_once_one_stays() {
    let platform = Platform::start().await;
    let (ann, bob) = (platform.user("ann").await, platform.user("bob").await);
    team(&ann, "acme", &[(&bob, "admin")]).await;
    for _ in 0..10 {
        let (one, other) = tokio::join!(
            set(&ann, "acme", &bob, "member"),
            set(&bob, "acme", &ann, "member")
        );
        let done = [one.status, other.status].map(|status| status == 200);
        assert_ne!(done[0], done[1], "{} {}", one.text, other.text);
        let (left, down) = if done[0] { (&ann, &bob) } else { (&bob, &ann) };
        set(left, "acme", down, "admin").await.expect(200);
    }
}

#[tokio::test]
async fn an_app_of_a_team_is_seen_by_all_of_it_and_worked_on_by_those_who_join() {
    let platform = Platform::start().await;
    let (ann, bob, vic, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("vic").await,
        platform.user("eve").await,
    );
    let kim = platform.user("kim").await;
    let others = [(&bob, "member"), (&vic, "viewer"), (&kim, "member")];
    team(&ann, "acme", &others).await;
    let (_, none) = eve
        .post("/teams/apps", json!({"name": "shop", "team": "acme"}))
        .await
        .error(404);
    assert!(none.contains("you are not in it"), "{none}");
    vic.post("/teams/apps", json!({"name": "shop", "team": "acme"}))
        .await
        .error(403);

    let shop = team_app(&kim, "acme", "shop").await;
    assert_eq!(shop["owner"]["email"], "acme@herokumanager.com");
    assert_eq!(shop["team"]["name"], "acme");
    assert_eq!(shop["organization"], shop["team"]);
    assert_eq!(
        (&shop["joined"], &shop["locked"]),
        (&json!(true), &json!(false))
    );
    for user in [&ann, &bob, &vic] {
        let seen = user.get("/apps").await.expect(200);
        assert_eq!(each(&seen, "name"), ["shop"], "{}", user.email);
        let seen = user.get("/teams/acme/apps").await.expect(200);
        assert_eq!(seen[0]["joined"], false, "{}", user.email);
        let mine = user.get("/users/~/apps").await.expect(200);
        assert_eq!(mine, json!([]), "{}", user.email);
    }
    assert_eq!(status(&eve, "/apps/shop").await, 404);
    // Its maker and the team's administrator do as they like; others only look.
    for (user, config) in [(&kim, 200), (&ann, 200), (&bob, 403), (&vic, 403)] {
        assert_eq!(status(user, "/apps/shop/config-vars").await, config);
    }

    vic.post("/teams/apps/shop/collaborators", json!({"user": vic.email}))
        .await
        .error(403);
    bob.post("/teams/apps/shop/collaborators", json!({"user": eve.email}))
        .await
        .error(403);
    let all = json!({"user": bob.email, "permissions": ["view", "manage"]});
    bob.post("/teams/apps/shop/collaborators", all)
        .await
        .error(403);
    bob.post("/apps/shop/collaborators", json!({"user": bob.email}))
        .await
        .error(403);
    join(&bob, "shop").await.expect(201);
    join(&bob, "shop").await.expect(201);
    assert_eq!(status(&bob, "/apps/shop/config-vars").await, 200);
    let works_on = bob
        .get(&format!("/teams/acme/members/{}/apps", bob.email))
        .await
        .expect(200);
    assert_eq!(each(&works_on, "name"), ["shop"]);

    // Locked, it is there for those who work on it and for administrators.
    bob.patch("/teams/apps/shop", json!({"locked": true}))
        .await
        .error(403);
    let locked = kim.patch("/teams/apps/shop", json!({"locked": true})).await;
    assert_eq!(locked.expect(200)["locked"], true);
    for (user, seen) in [(&ann, 200), (&kim, 200), (&bob, 200), (&vic, 404)] {
        assert_eq!(status(user, "/apps/shop").await, seen);
    }
    bob.delete(&format!("/apps/shop/collaborators/{}", bob.email))
        .await
        .expect(200);
    join(&bob, "shop").await.error(404);
    ann.patch("/teams/apps/shop", json!({"locked": false}))
        .await
        .expect(200);
    join(&bob, "shop").await.expect(201);

    // Out of the team is out of its apps, also of those he was let into.
    remove(&ann, "acme", &bob).await.expect(200);
    assert_eq!(status(&bob, "/apps/shop").await, 404);
    let people = ann.get("/apps/shop/collaborators").await.expect(200);
    let mut roles = each(&people, "role");
    roles.sort();
    assert_eq!(roles, ["collaborator", "owner"]);

    ann.delete("/teams/acme").await.error(422);
    ann.delete("/apps/shop").await.expect(200);
    ann.delete("/teams/acme").await.expect(200);
}

#[tokio::test]
async fn an_app_is_given_to_a_team_and_by_a_team() {
    let platform = Platform::start().await;
    let (ann, bob, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("eve").await,
    );
    team(&ann, "acme", &[(&bob, "member")]).await;
    team(&bob, "other", &[(&ann, "viewer")]).await;
    let app = id_of(&ann.app("shop").await);
    let give = async |by: &User, to: &str| by.patch("/teams/apps/shop", json!({"owner": to})).await;
    let (_, asked) = give(&ann, &bob.email).await.error(422);
    assert!(asked.contains("apps:transfer"), "{asked}");
    give(&ann, "nobody").await.error(422);
    give(&ann, "other").await.error(403);
    ann.patch("/teams/apps/shop", json!({"owner": "acme", "locked": true}))
        .await
        .error(422);
    ann.patch("/teams/apps/shop", json!({"locked": true}))
        .await
        .error(422);

    let given = give(&ann, "acme").await.expect(200);
    assert_eq!(given["team"]["name"], "acme");
    // A team gives away without an offer, and only by its administrators: no manager of an app may take it along.
    ann.post(
        "/account/app-transfers",
        json!({"app": "shop", "recipient": bob.email}),
    )
    .await
    .error(422);
    join(&bob, "shop").await.expect(201);
    let manage = json!({"permissions": ["manage"]});
    ann.patch(&format!("/apps/shop/collaborators/{}", bob.email), manage)
        .await
        .expect(200);
    give(&bob, "other").await.error(403);
    give(&bob, &bob.email).await.error(403);

    // Whoever has nothing to do with it gets nothing; whoever gets it gets it alone.
    give(&ann, &eve.email).await.error(422);
    let given = give(&ann, &bob.email).await.expect(200);
    assert_eq!(
        (&given["team"], &given["owner"]["email"]),
        (&Value::Null, &json!(bob.email))
    );
    assert_eq!(status(&ann, "/apps/shop").await, 404);
    let left = key::COLLABORATORS
        .list(&*platform.store, &key::collaborators_of(app))
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");

    // From team to team those who work on it still do.
    set(&bob, "other", &ann, "member").await.expect(200);
    give(&bob, "other").await.expect(200);
    set(&ann, "acme", &bob, "member").await.expect(200);
    let given = give(&bob, "acme").await.expect(200);
    assert_eq!(given["team"]["name"], "acme");
    let people = ann.get("/apps/shop/collaborators").await.expect(200);
    let works_on = |person: &Value| person["user"]["email"] == bob.email;
    assert!(people.as_array().unwrap().iter().any(works_on), "{people}");
}

#[tokio::test]
async fn a_pipeline_of_a_team_is_managed_by_its_members_and_given_away_by_its_administrators() {
    let platform = Platform::start().await;
    let (ann, bob, vic, eve) = (
        platform.user("ann").await,
        platform.user("bob").await,
        platform.user("vic").await,
        platform.user("eve").await,
    );
    team(&ann, "acme", &[(&bob, "member"), (&vic, "viewer")]).await;
    let acme = ann.get("/teams/acme").await.expect(200)["id"].clone();
    let owner = json!({"id": acme, "type": "team"});
    let create = json!({"name": "shop", "owner": owner});
    eve.post("/pipelines", create.clone()).await.error(404);
    vic.post("/pipelines", create.clone()).await.error(403);
    let made = bob.post("/pipelines", create).await.expect(201);
    assert_eq!(made["owner"], owner);
    let path = format!("/pipelines/{}", made["id"].as_str().unwrap());
    for (user, seen) in [(&ann, 200), (&bob, 200), (&vic, 200), (&eve, 404)] {
        assert_eq!(status(user, &path).await, seen);
    }
    let rename = json!({"name": "shops"});
    vic.patch(&path, rename.clone()).await.error(403);
    bob.patch(&path, rename).await.expect(200);
    let shop = team_app(&bob, "acme", "shop").await;
    let couple = json!({"app": shop["id"], "pipeline": made["id"], "stage": "production"});
    bob.post("/pipeline-couplings", couple).await.expect(201);
    let (_, owns) = ann.delete("/teams/acme").await.error(422);
    assert!(owns.contains("1 apps and 1 pipelines"), "{owns}");

    let to =
        |user: &User| json!({"pipeline": made["id"], "new_owner": {"id": user.id, "type": "user"}});
    bob.post("/pipeline-transfers", to(&bob)).await.error(403);
    let given = ann.post("/pipeline-transfers", to(&bob)).await.expect(201);
    assert_eq!(given["previous_owner"], owner);
    let shop = bob.get("/apps/shop").await.expect(200);
    assert_eq!(shop["owner"]["email"], bob.email);
    let back = json!({"pipeline": made["id"], "new_owner": owner});
    bob.post("/pipeline-transfers", back).await.expect(201);
    let shop = bob.get("/apps/shop").await.expect(200);
    assert_eq!(shop["team"]["name"], "acme");
}
