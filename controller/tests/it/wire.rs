//! The typed client against the real thing: what the CLI relies on.

use controller_api::wire::{AppCreate, DynoCreate, FormationChange, FormationUpdate, Quantity};
use controller_api::{Client, ClientError, ClientOptions};
use model::{DynoName, ProcessType, Secret};

use crate::harness::Platform;
use crate::world::id_of;

#[tokio::test]
async fn the_client_reads_every_answer_it_asks_for() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let client = ann.client();
    assert_eq!(client.account().await.unwrap().email.as_str(), ann.email);
    let create = AppCreate {
        name: Some("ticks".to_owned()),
        ..AppCreate::default()
    };
    let app = client.create_app(&create).await.unwrap();
    platform.push(app.id, &ann, &[("web", "serve")]).await;
    platform.prove(app.id).await;
    platform.dyno(app.id, "web.1").await;
    assert_eq!(
        client.apps().await.unwrap(),
        vec![client.app("ticks").await.unwrap()]
    );
    let set = [("A".to_owned(), Some(Secret::from("1")))].into();
    assert_eq!(
        client.update_config_vars("ticks", &set).await.unwrap()["A"].expose(),
        "1"
    );
    assert_eq!(client.config_vars("ticks").await.unwrap().len(), 1);
    let change = FormationChange {
        quantity: Some(Quantity::More(1)),
        size: None,
    };
    let update = FormationUpdate {
        process_type: "web".to_owned(),
        change,
    };
    assert_eq!(
        client.scale("ticks", vec![update]).await.unwrap()[0].quantity,
        2
    );
    assert_eq!(client.formation("ticks").await.unwrap().len(), 1);
    assert_eq!(client.dynos("ticks").await.unwrap()[0].state, "up");
    client.restart_all("ticks").await.unwrap();
    let run = DynoCreate {
        command: "bash".to_owned(),
        attach: Some(true),
        ..DynoCreate::default()
    };
    let dyno = client.run("ticks", &run).await.unwrap();
    let url = client
        .attach_endpoint(dyno.attach_url.as_deref().unwrap())
        .unwrap();
    assert!(
        url.as_str().starts_with("ws://api.paas.localhost:") && url.path().starts_with("/attach/")
    );
    client.stop_dyno("ticks", &dyno.name).await.unwrap();
    assert_eq!(client.domains("ticks").await.unwrap().len(), 1);
    assert_eq!(client.collaborators("ticks").await.unwrap().len(), 1);
    assert_eq!(
        client
            .set_buildpacks("ticks", &["heroku/python".to_owned()])
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(client.stacks().await.unwrap().len(), 2);
    assert_eq!(client.dyno_sizes().await.unwrap().len(), 6);
    assert_eq!(client.regions().await.unwrap().len(), 1);
    assert_eq!(client.release("ticks", "v1").await.unwrap().version, 1);
    assert!(client.keys().await.unwrap().is_empty());
    assert!(client.rate_limit().await.unwrap().remaining > 0);
    assert_eq!(
        client.destroy_app("ticks").await.unwrap().name.as_str(),
        "ticks"
    );
}

#[tokio::test]
async fn long_lists_are_fetched_page_by_page() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    let names: Vec<DynoName> = (1..=1100)
        .map(|n| DynoName::new(ProcessType::web(), n))
        .collect();
    platform.dynos(app, &names).await;
    assert_eq!(ann.client().dynos("ticks").await.unwrap().len(), 1100);
}

#[tokio::test]
async fn errors_are_told_apart() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let error = ann.client().app("nothing").await.unwrap_err();
    let api = error.api().unwrap();
    assert_eq!((api.status, api.id.as_str()), (404, "not_found"));
    assert!(api.request_id.is_some() && error.to_string().contains("Couldn't find that app"));
    let options = |url: String, token: &str| ClientOptions {
        base_url: url.parse().unwrap(),
        token: Some(Secret::from(token)),
        ca_pem: None,
        user_agent: "paas/test".to_owned(),
    };
    let wrong = Client::new(options(format!("http://{}", platform.addr), "wrong")).unwrap();
    assert_eq!(wrong.account().await.unwrap_err().status(), Some(401));
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let nobody_there = Client::new(options(format!("http://{closed}"), "t")).unwrap();
    assert!(matches!(
        nobody_there.account().await,
        Err(ClientError::Unreachable { .. })
    ));
}
