//! The add-ons that an app has, its own and those of others that are attached to it.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::{Addon, AddonAttachment, AppRef, AttachedAddon};
use futures::future::try_join_all;
use serde::Serialize;

use super::super::teams;
use super::words::{self, is_app};
use crate::output::{Colour, Paint, Table};

#[derive(Debug, Serialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    addon: Known,
    attachments: Vec<AddonAttachment>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Known {
    All(Box<Addon>),
    /// Of an app that one may not see: what its attachment says.
    Little(AttachedAddon),
}

impl Known {
    fn name(&self) -> &str {
        match self {
            Self::All(addon) => addon.name.as_str(),
            Self::Little(addon) => addon.name.as_str(),
        }
    }

    fn app(&self) -> &AppRef {
        match self {
            Self::All(addon) => &addon.app,
            Self::Little(addon) => &addon.app,
        }
    }

    fn all(&self) -> Option<&Addon> {
        match self {
            Self::All(addon) => Some(addon),
            Self::Little(_) => None,
        }
    }
}

/// The app's own first, and last those of which little is known.
pub(super) async fn of_app(client: &Client, app: &str) -> Result<Vec<Listed>> {
    // An administrator's apps are not all there are: this one's attachments are asked for by themselves.
    let (addons, of_app, of_all) = futures::try_join!(
        client.addons(app),
        client.attachments(app),
        client.all_attachments()
    )?;
    let attachments: BTreeMap<_, AddonAttachment> = of_all
        .into_iter()
        .chain(of_app)
        .map(|attachment| (attachment.id, attachment))
        .collect();
    let mut by_addon: BTreeMap<_, Vec<AddonAttachment>> = BTreeMap::new();
    for attachment in attachments.into_values() {
        let of_addon = by_addon.entry(attachment.addon.id).or_default();
        of_addon.push(attachment);
    }
    let mut listed: Vec<Listed> = addons
        .into_iter()
        .map(|addon| Listed {
            attachments: by_addon.remove(&addon.id).unwrap_or_default(),
            addon: Known::All(Box::new(addon)),
        })
        .collect();
    let others = by_addon.into_values().filter(|attachments| {
        let mut apps = attachments.iter().map(|attachment| &attachment.app);
        apps.any(|one| is_app(one, app))
    });
    listed.extend(try_join_all(others.map(|attachments| of_another(client, attachments))).await?);
    for one in &mut listed {
        one.attachments.sort_by_key(|attachment| {
            let place = &attachment.app;
            (
                !is_app(place, app),
                place.name.clone(),
                attachment.name.clone(),
            )
        });
    }
    listed.sort_by_cached_key(|one| {
        let known = one.addon.all();
        let plan = known.map(|addon| addon.plan.name.clone());
        let name = one.addon.name().to_owned();
        (!is_app(one.addon.app(), app), known.is_none(), plan, name)
    });
    Ok(listed)
}

async fn of_another(client: &Client, attachments: Vec<AddonAttachment>) -> Result<Listed> {
    let addon = attachments[0].addon.clone();
    let found = client.addon(addon.app.name.as_str(), addon.name.as_str());
    let addon = match teams::if_allowed(found.await)? {
        Some(addon) => Known::All(Box::new(addon)),
        None => Known::Little(addon),
    };
    Ok(Listed { addon, attachments })
}

impl Listed {
    pub(super) fn show(&self, paint: Paint, app: &str, table: &mut Table) {
        let known = self.addon.all();
        let dim = |text: &str| paint.in_colour(Colour::Dim, text);
        let name = words::named(paint, self.addon.name());
        let owner = self.addon.app();
        let price = match known {
            _ if !is_app(owner, app) => dim(&format!("(owned by {})", owner.name)),
            Some(addon) => words::price_of(addon),
            None => String::new(),
        };
        table.row([
            match known {
                Some(addon) => format!("{} ({name})", addon.addon_service.name),
                None => name,
            },
            known.map_or_else(|| dim("?"), plan),
            price,
            known.map_or_else(String::new, |addon| paint.state(words::state(addon.state))),
        ]);
        let last = self.attachments.len().saturating_sub(1);
        for (number, attachment) in self.attachments.iter().enumerate() {
            let branch = if number == last {
                " └─ as"
            } else {
                " ├─ as"
            };
            let place = match is_app(&attachment.app, app) {
                true => String::new(),
                false => dim(&format!(" on {} app", attachment.app.name)),
            };
            let name = words::attached(paint, attachment.name.as_str());
            let line = format!("{} {name}{place}", dim(branch));
            table.row([line, String::new(), String::new(), String::new()]);
        }
    }
}

/// Without the service's name.
fn plan(addon: &Addon) -> String {
    let name = &addon.plan.name;
    name.split_once(':')
        .map_or(name.as_str(), |(_, plan)| plan)
        .to_owned()
}
