//! How add-ons are told of: Heroku's words for their states, and what they cost.

use controller_api::wire::{Addon, AddonState, AppRef, Price};

use crate::output::{Colour, Paint};

/// `free`, `$5/month`, `$0.50/month`
pub(super) fn price(price: &Price) -> String {
    let (whole, cents) = (price.cents / 100, price.cents % 100);
    match (price.contract, price.cents) {
        (true, _) => "contract".to_owned(),
        (false, 0) => "free".to_owned(),
        (false, _) if cents == 0 => format!("${whole}/{}", price.unit),
        (false, _) => format!("${whole}.{cents:02}/{}", price.unit),
    }
}

/// Empty where it is not said.
pub(super) fn price_of(addon: &Addon) -> String {
    addon.billed_price.as_ref().map(price).unwrap_or_default()
}

pub(super) const fn state(state: AddonState) -> &'static str {
    match state {
        AddonState::Provisioning => "creating",
        AddonState::Provisioned => "created",
        AddonState::Deprovisioning => "destroying",
        AddonState::Deprovisioned => "errored",
    }
}

pub(super) fn named(paint: Paint, addon: &str) -> String {
    paint.in_colour(Colour::Yellow, addon)
}

pub(super) fn attached(paint: Paint, attachment: &str) -> String {
    paint.in_colour(Colour::Green, attachment)
}

pub(super) fn title(paint: Paint, title: &str) -> String {
    paint.in_colour(Colour::Bold, title)
}

/// Whether it is the app that was named, by name or id.
pub(super) fn is_app(app: &AppRef, named: &str) -> bool {
    app.name.as_str() == named || app.id.to_string() == named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_told_without_cents_where_there_are_none() {
        let told = |cents, contract| {
            price(&Price {
                cents,
                contract,
                unit: "month".to_owned(),
            })
        };
        assert_eq!(
            [
                told(0, false),
                told(500, false),
                told(1205, false),
                told(50, false),
                told(0, true)
            ],
            [
                "free",
                "$5/month",
                "$12.05/month",
                "$0.50/month",
                "contract"
            ]
        );
    }
}
