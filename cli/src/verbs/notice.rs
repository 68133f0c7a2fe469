//! platform:notice: what everybody is told, whatever he asks.

use anyhow::Result;
use controller_api::wire::Notice;

use crate::args::NoticeArgs;
use crate::context::Context;
use crate::output::printable;

pub(crate) async fn notice(context: &Context, args: &NoticeArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    if args.clear {
        let action = output.action("Taking the notice back");
        client.withdraw_notice().await?;
        action.done();
        return Ok(());
    }
    if args.message.is_empty() {
        let Notice { message } = client.notice().await?;
        match message {
            Some(message) => output.line(printable(&message))?,
            None => {
                output.note("There is no notice. Give one with: paas platform:notice MESSAGE")?
            }
        }
        return Ok(());
    }
    let notice = Notice {
        message: Some(args.message.join(" ")),
    };
    let action = output.action("Having everybody told");
    client.say_to_all(&notice).await?;
    action.done();
    Ok(())
}
