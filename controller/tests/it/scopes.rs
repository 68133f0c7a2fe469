//! What tokens of less than everything are good for.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Platform, User, each};

async fn token(user: &User, scope: &[&str]) -> User {
    let body = json!({"description": "narrow", "scope": scope});
    let made = user.post("/oauth/authorizations", body).await.expect(201);
    let token = made["access_token"]["token"].as_str().unwrap();
    user.with_token(token)
}

fn is_let_in(answer: &Answer) -> bool {
    answer.status.as_u16() != 403
}

#[tokio::test]
async fn each_scope_is_good_for_what_it_says_and_no_more() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let (get, patch, post) = (Method::GET, Method::PATCH, Method::POST);
    let calls: [(&Method, &str, Value); 9] = [
        (&get, "/account", json!({})),
        (&get, "/apps/ticks", json!({})),
        (&get, "/apps/ticks/config-vars", json!({})),
        (&patch, "/apps/ticks", json!({"maintenance": true})),
        (&patch, "/apps/ticks/config-vars", json!({"A": "b"})),
        (&post, "/apps/ticks/dynos", json!({"command": "env"})),
        (&post, "/apps/ticks/dynos/web.1", json!({"command": "env"})),
        (&post, "/apps/ticks/collaborators", json!({"user": "x@y.z"})),
        (&post, "/oauth/authorizations", json!({"scope": ["global"]})),
    ];
    for (scope, let_in) in [
        (&["identity"][..], "y........"),
        (&["read"], "yy......."),
        (&["read-protected"], "yyy......"),
        (&["write"], "yy.y....."),
        (&["write-protected"], "yyyyyyyy."),
        (&["read-protected", "write"], "yyyy....."),
        (&["global"], "yyyyyyyyy"),
    ] {
        let narrow = token(&ann, scope).await;
        let mut found = String::new();
        for (method, path, body) in &calls {
            let answer = narrow
                .call((*method).clone(), path, Some(body.clone()), &[])
                .await;
            found.push(if is_let_in(&answer) { 'y' } else { '.' });
        }
        assert_eq!(found, let_in, "{scope:?}");
    }
    let narrow = token(&ann, &["read"]).await;
    let (id, message) = narrow.get("/apps/ticks/config-vars").await.error(403);
    assert_eq!(id, "forbidden");
    assert!(
        message.contains("has the scope read, and this needs read-protected"),
        "{message}"
    );
    // An administrator's is no administrator's for that.
    let narrow = token(&platform.admin, &["write-protected"]).await;
    narrow.get("/nodes").await.error(403);
}

#[tokio::test]
async fn a_token_is_made_for_what_there_is_renamed_and_given_another_secret() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let body = json!({"scope": ["everything"]});
    let (_, message) = ann.post("/oauth/authorizations", body).await.error(422);
    assert!(
        message.contains("read-protected or write-protected"),
        "{message}"
    );
    let body = json!({"scope": ["write", "read", "write"], "description": "ci"});
    let made = ann.post("/oauth/authorizations", body).await.expect(201);
    assert_eq!(made["scope"], json!(["read", "write"]));
    let place = format!("/oauth/authorizations/{}", made["id"].as_str().unwrap());
    let renamed = ann.patch(&place, json!({"description": "ci, main"})).await;
    assert_eq!(renamed.expect(200)["description"], "ci, main");
    let old = ann.with_token(made["access_token"]["token"].as_str().unwrap());
    old.get("/account").await.expect(200);
    let rotate = format!("{place}/actions/regenerate-tokens");
    let rotated = ann.post(&rotate, json!({})).await.expect(200);
    assert_eq!(rotated["id"], made["id"]);
    let new = ann.with_token(rotated["access_token"]["token"].as_str().unwrap());
    old.get("/account").await.error(401);
    new.get("/account").await.expect(200);
    let listed = ann.get("/oauth/authorizations").await.expect(200);
    assert!(each(&listed, "description").contains(&"ci, main".to_owned()));
}

#[tokio::test]
async fn a_narrow_token_revokes_itself_and_no_other() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (narrow, other) = (
        token(&ann, &["identity"]).await,
        token(&ann, &["read"]).await,
    );
    let own = narrow.get("/account").await.expect(200);
    assert_eq!(own["email"], ann.get("/account").await.expect(200)["email"]);
    let listed = ann.get("/oauth/authorizations").await.expect(200);
    for made in listed.as_array().unwrap() {
        if made["scope"] != json!(["identity"]) {
            let place = format!("/oauth/authorizations/{}", made["id"].as_str().unwrap());
            narrow.delete(&place).await.error(403);
        }
    }
    other.get("/apps").await.expect(200);
    narrow.delete("/oauth/authorizations/~").await.expect(200);
    narrow.get("/account").await.error(401);
    other.get("/apps").await.expect(200);
}
