//! Does what each line of its input asks, an endpoint of heroku_rs and its arguments, and says in a line of JSON what came of it.

use std::collections::HashMap;
use std::io::{BufRead as _, stdin};

use heroku_rs::framework::response::HerokuApiFailure;
use heroku_rs::prelude::*;
use serde::Serialize;

type Answer = Result<String, String>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let token = std::env::var("HEROKU_API_KEY")?;
    let host = std::env::var("HEROKU_HOST")?;
    let mut headers = http::HeaderMap::new();
    // Besides its own, as the API's documentation asks of clients.
    headers.insert(
        "user-agent",
        http::HeaderValue::from_static("heroku_rs-driver"),
    );
    let heroku = HttpApiClient::new(
        Credentials::UserAuthToken { token },
        HttpApiClientConfig {
            default_headers: headers,
            ..HttpApiClientConfig::default()
        },
        ApiEnvironment::Custom(url::Url::parse(&host)?),
    )?;
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let (exit, said) = match ask(&heroku, &words) {
            Ok(said) => (0, said),
            Err(said) => (1, said),
        };
        println!("{}", serde_json::json!({ "exit": exit, "said": said }));
    }
    Ok(())
}

fn ask(heroku: &HttpApiClient, words: &[&str]) -> Answer {
    match *words {
        ["AccountDetails"] => told(heroku.request(&AccountDetails::new())),
        ["KeyList"] => told(heroku.request(&KeyList::new())),
        ["AppCreate", name] => told(heroku.request(&AppCreate::new().name(name).build())),
        ["AppList"] => told(heroku.request(&AppList::new())),
        ["AppDetails", app] => told(heroku.request(&AppDetails::new(app))),
        ["AppUpdate", app, "maintenance"] => {
            told(heroku.request(&AppUpdate::new(app).maintenance(true).build()))
        }
        ["AppFeatureList", app] => told(heroku.request(&AppFeatureList::new(app))),
        ["AppWebhookList", app] => told(heroku.request(&AppWebhookList::new(app))),
        ["AppDelete", app] => told(heroku.request(&AppDelete::new(app))),
        ["AppConfigVarUpdate", app, name, value] => {
            let change = HashMap::from([(name.to_owned(), value.to_owned())]);
            told(heroku.request(&AppConfigVarUpdate::new(app, change)))
        }
        ["AppConfigVarDetails", app] => told(heroku.request(&AppConfigVarDetails::new(app))),
        ["AppConfigVarDelete", app, name] => {
            told(heroku.request(&AppConfigVarDelete::create(app, name.to_owned())))
        }
        ["ReleaseList", app] => told(heroku.request(&ReleaseList::new(app))),
        ["ReleaseInfo", app, release] => told(heroku.request(&ReleaseInfo::new(app, release))),
        ["FormationList", app] => told(heroku.request(&FormationList::new(app))),
        ["DynoList", app] => told(heroku.request(&DynoList::new(app))),
        ["DynoSizeList"] => told(heroku.request(&DynoSizeList::new())),
        ["DomainCreate", app, name] => told(heroku.request(&DomainCreate::new(app, name))),
        ["DomainList", app] => told(heroku.request(&DomainList::new(app))),
        ["CollaboratorList", app] => told(heroku.request(&CollaboratorList::new(app))),
        ["BuildList", app] => told(heroku.request(&BuildList::new(app))),
        ["BuildPackInstallationList", app] => {
            told(heroku.request(&BuildPackInstallationList::new(app)))
        }
        ["LogDrainCreate", app, url] => told(heroku.request(&LogDrainCreate::new(app, url))),
        ["LogDrainList", app] => told(heroku.request(&LogDrainList::new(app))),
        ["LogSessionCreate", app] => told(heroku.request(&LogSessionCreate::new(app))),
        ["PipelineCreate", name] => told(heroku.request(&PipelineCreate::new(name))),
        ["PipelineList"] => told(heroku.request(&PipelineList::new())),
        ["PipelineCouplingList"] => told(heroku.request(&PipelineCouplingList::new())),
        ["OAuthList"] => told(heroku.request(&OAuthList::new())),
        ["RegionList"] => told(heroku.request(&RegionList::new())),
        ["StackList"] => told(heroku.request(&StackList::new())),
        ["RatelimitDetails"] => told(heroku.request(&RatelimitDetails::new())),
        ["AddonList"] => told(heroku.request(&AddonList::new())),
        ["AddonServiceList"] => told(heroku.request(&AddonServiceList::new())),
        ["AddonServiceDetails", service] => {
            told(heroku.request(&AddonServiceDetails::new(service)))
        }
        ["AddonCreate", app, plan, name] => {
            told(heroku.request(&AddonCreate::new(app, plan).name(name).build()))
        }
        ["AddonDetails", addon] => told(heroku.request(&AddonDetails::new(addon))),
        ["AddonListByApp", app] => told(heroku.request(&AddonListByApp::new(app))),
        ["AddonListByAccount", user] => told(heroku.request(&AddonListByAccount::new(user))),
        ["AddonConfigList", addon] => told(heroku.request(&AddonConfigList::new(addon))),
        ["AttachmentList"] => told(heroku.request(&AttachmentList::new())),
        ["AttachmentListByApp", app] => told(heroku.request(&AttachmentListByApp::new(app))),
        ["AttachmentListByAddon", addon] => {
            told(heroku.request(&AttachmentListByAddon::new(addon)))
        }
        ["AttachmentDetails", attachment] => {
            told(heroku.request(&AttachmentDetails::new(attachment)))
        }
        ["AttachmentDelete", attachment] => {
            told(heroku.request(&AttachmentDelete::new(attachment)))
        }
        ["AddonDelete", app, addon] => told(heroku.request(&AddonDelete::new(app, addon))),
        ["TeamCreate", name] => told(heroku.request(&TeamCreate::new(name).build())),
        ["TeamList"] => told(heroku.request(&TeamList::new())),
        ["TeamDetails", team] => told(heroku.request(&TeamDetails::new(team))),
        ["TeamMemberList", team] => told(heroku.request(&TeamMemberList::new(team))),
        ["TeamAppTransfer", app, to] => told(heroku.request(&TeamAppTransfer::new(app, to))),
        ["TeamAppDetails", app] => told(heroku.request(&TeamAppDetails::new(app))),
        ["TeamAppPermissionList"] => told(heroku.request(&TeamAppPermissionList::new())),
        ["TeamFeatureList", team] => told(heroku.request(&TeamFeatureList::new(team))),
        _ => Err(format!("this driver does not know {}", words.join(" "))),
    }
}

fn told<R: Serialize>(answer: Result<R, HerokuApiFailure>) -> Answer {
    match answer {
        Ok(answer) => serde_json::to_string(&answer).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
