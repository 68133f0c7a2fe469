//! The built `paas`, against a stand-in for the platform that speaks the Platform API's shapes.

#[cfg(test)]
mod it {
    mod addon_create;
    mod addon_services;
    mod addons;
    mod addons_changed;
    mod apps;
    mod browser_login;
    mod builds;
    mod certs;
    mod completion;
    mod config;
    mod doctor;
    mod dynos;
    mod git;
    mod harness;
    mod heroku;
    mod import_deis;
    mod import_dokku;
    mod import_heroku;
    mod invitations;
    mod login;
    mod man;
    mod platform;
    mod real_browser;
    mod rebalance;
    mod releases;
    mod routers;
    mod routing;
    mod run_pipes;
    mod run_terminal;
    mod second_factor;
    mod settings;
    mod shapes;
    mod stub;
    mod suggestions;
    mod tags;
    mod tcp_routes;
    mod teams;
    mod webhooks;
    mod words;
}
