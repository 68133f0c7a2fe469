//! Apps that are set up.

use controller_api::wire;
use model::{AppSetup, SetupStage};

pub(crate) fn app_setup(
    setup: &AppSetup,
    build: Option<wire::Build>,
    web_url: &str,
) -> wire::AppSetup {
    let (status, failure, errors) = match &setup.stage {
        SetupStage::Succeeded => ("succeeded", None, &[][..]),
        SetupStage::Failed {
            message,
            manifest_errors,
        } => ("failed", Some(message.clone()), &manifest_errors[..]),
        _ => ("pending", None, &[][..]),
    };
    let is_done = setup.stage == SetupStage::Succeeded;
    wire::AppSetup {
        app: wire::AppSetupApp {
            id: setup.app,
            name: setup.app_name.clone(),
        },
        build: build.map(|build| wire::AppSetupBuild {
            id: build.id,
            output_stream_url: build.output_stream_url,
            status: build.status,
        }),
        created_at: setup.created_at.into(),
        failure_message: failure,
        id: setup.id,
        manifest_errors: errors.to_vec(),
        postdeploy: setup
            .postdeploy
            .as_ref()
            .map(|postdeploy| wire::AppSetupPostdeploy {
                exit_code: postdeploy.exit_code,
                output: postdeploy.output.clone(),
            }),
        resolved_success_url: is_done.then(|| resolved(setup.success_url.as_deref(), web_url)),
        status: status.to_owned(),
        updated_at: setup.updated_at.into(),
    }
}

/// Elsewhere, or below the app's own address.
fn resolved(success_url: Option<&str>, web_url: &str) -> String {
    match success_url {
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => url.to_owned(),
        Some(path) => format!("{web_url}{}", path.trim_start_matches('/')),
        None => web_url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_url_is_the_apps_or_stands_alone() {
        let app = "https://x.example.com/";
        assert_eq!(resolved(None, app), app);
        assert_eq!(resolved(Some("/a"), app), "https://x.example.com/a");
        assert_eq!(resolved(Some("https://y/"), app), "https://y/");
        assert_eq!(
            resolved(Some("javascript:x"), app),
            "https://x.example.com/javascript:x"
        );
    }
}
