use serde_json::{Value, json};

use super::super::finding::State;
use super::*;

const ID: &str = "01234567-89ab-4def-8123-456789abcdef";
const AT: &str = "2026-11-22T13:24:10Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn app() -> Value {
    let named = json!({ "id": ID, "name": "x" });
    json!({
        "acm": false, "archived_at": null, "build_stack": named, "buildpack_provided_description": null,
        "created_at": AT, "generation": named, "git_url": "", "id": ID, "internal_routing": null,
        "maintenance": false, "name": "shop", "organization": null, "owner": { "id": ID, "email": "me@example.com" },
        "region": named, "released_at": AT, "repo_size": 0, "slug_size": 0, "space": null, "stack": named,
        "team": null, "updated_at": AT, "web_url": null,
    })
}

fn dyno(name: &str, state: &str) -> Dyno {
    read(json!({
        "app": { "id": ID, "name": "shop" }, "attach_url": null, "command": "x", "created_at": AT, "id": ID,
        "name": name, "release": { "id": ID, "version": 4 }, "size": "Standard-1X", "state": state, "type": "web",
        "updated_at": AT,
    }))
}

fn formation(process_type: &str, quantity: u32) -> Formation {
    read(json!({
        "app": { "id": ID, "name": "shop" }, "command": "x", "created_at": AT,
        "dyno_size": { "id": ID, "name": "x" }, "id": ID, "quantity": quantity, "size": "Standard-1X",
        "type": process_type, "updated_at": AT,
    }))
}

fn release_of(status: &str) -> Option<Release> {
    Some(read(json!({
        "addon_plan_names": [], "app": { "id": ID, "name": "shop" }, "artifacts": [], "created_at": AT,
        "current": false, "description": "x", "eligible_for_rollback": false, "id": ID, "output_stream_url": null,
        "slug": null, "status": status, "updated_at": AT, "user": { "id": ID, "email": "me@example.com" },
        "version": 7,
    })))
}

fn domain(kind: &str, reason: Option<&str>) -> Domain {
    read(json!({
        "acm_status": reason.map(|_| "failing"), "acm_status_reason": reason, "app": { "id": ID, "name": "shop" },
        "cname": "shop.paas.example.com", "created_at": AT, "hostname": "www.example.com", "id": ID, "kind": kind,
        "sni_endpoint": null, "status": "succeeded", "updated_at": AT,
    }))
}

fn healthy() -> Facts {
    Facts {
        app: read(app()),
        dynos: vec![dyno("web.1", "up")],
        formation: vec![formation("web", 1)],
        release: release_of("succeeded"),
        domains: vec![domain("heroku", None)],
        endpoints: Vec::new(),
        leads: BTreeMap::new(),
    }
}

#[track_caller]
fn one(facts: &Facts) -> (State, &'static str, String) {
    let findings = judge(facts, at("2026-11-22T13:54:10Z"));
    assert_eq!(findings.len(), 1, "{findings:?}");
    let found = findings.into_iter().next().unwrap();
    (
        found.state,
        found.check,
        format!("{} {:?}", found.message, found.advice),
    )
}

#[test]
fn an_app_that_is_well_is_told_in_a_line() {
    let (state, check, text) = one(&healthy());
    assert_eq!((state, check), (State::Ok, "app"));
    assert!(text.contains("v7, 1 dyno up"), "{text}");
}

#[test]
fn crashed_dynos_and_failed_releases_are_problems() {
    let mut facts = healthy();
    facts.dynos.push(dyno("web.2", "crashed"));
    let (state, _, text) = one(&facts);
    assert_eq!(state, State::Problem);
    assert!(
        text.contains("Crashed on shop: web.2") && text.contains("--dyno web.2"),
        "{text}"
    );
    let mut facts = healthy();
    facts.release = release_of("failed");
    let (state, check, text) = one(&facts);
    assert_eq!((state, check), (State::Problem, "release"));
    assert!(text.contains("releases:info v7"), "{text}");
}

#[test]
fn a_release_may_be_on_trial_for_a_while() {
    let mut facts = healthy();
    facts.release = release_of("pending");
    let (state, _, text) = one(&facts);
    assert_eq!(state, State::Warning);
    assert!(text.contains("pending for 30 minutes"), "{text}");
    assert_eq!(release(&facts, at("2026-11-22T13:30:10Z")), None);
}

#[test]
fn an_app_nobody_answers_for_is_told_and_one_of_workers_alone_is_well() {
    let mut facts = healthy();
    facts.formation = vec![formation("web", 0)];
    assert!(one(&facts).2.contains("paas ps:scale web=1 -a shop"));
    facts.formation = vec![formation("worker", 2)];
    assert_eq!(one(&facts).0, State::Ok);
    facts.formation = Vec::new();
    assert!(one(&facts).2.contains("git push paas main"));
    let mut facts = healthy();
    facts.app.maintenance = true;
    assert!(one(&facts).2.contains("paas maintenance:off -a shop"));
}

#[test]
fn a_domain_needs_a_name_that_leads_here_and_a_certificate() {
    let mut facts = healthy();
    facts.app.acm = true;
    facts.domains = vec![domain("custom", None)];
    facts
        .leads
        .insert("www.example.com".to_owned(), Leads::Here);
    assert_eq!(one(&facts).0, State::Ok);
    facts
        .leads
        .insert("www.example.com".to_owned(), Leads::Elsewhere);
    assert_eq!(one(&facts).0, State::Warning);
    facts
        .leads
        .insert("www.example.com".to_owned(), Leads::Nowhere);
    let (state, check, text) = one(&facts);
    assert_eq!((state, check), (State::Problem, "domain"));
    assert!(text.contains("shop.paas.example.com"), "{text}");
    facts.leads.clear();
    facts.app.acm = false;
    assert!(one(&facts).2.contains("certs:auto:enable"));
    facts.app.acm = true;
    facts.domains[0] = domain("custom", Some("the name leads elsewhere"));
    let (state, _, text) = one(&facts);
    assert_eq!(state, State::Problem);
    assert!(text.contains("the name leads elsewhere"), "{text}");
}

#[test]
fn certificates_are_told_two_weeks_before_they_end() {
    let expires = at("2026-12-22T00:00:00Z");
    let told = |now: &str| expiry("It", expires, at(now), String::new());
    assert_eq!(told("2026-12-01T00:00:00Z"), None);
    assert_eq!(
        told("2026-12-12T00:00:00Z").unwrap().message,
        "It expires in 10 days"
    );
    assert_eq!(told("2026-12-22T00:00:00Z").unwrap().state, State::Problem);
}
