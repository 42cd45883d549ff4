//! `-D PACKET PROPERTY VALUE [VALUE]`: properties of 5.0 on the command line, by their names in the standard.

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::packet::{Host, PacketType, Properties, PropertyBuf, PropertyId, PropertyType, Side, Version};

/// Every `-D` of a command line, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct PropertyArgs {
    each: Vec<Vec<String>>,
}

// By hand, because the derived parser forgets which values came from the same `-D`.
impl FromArgMatches for PropertyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let each = matches.get_occurrences::<String>("property").unwrap_or_default();
        Ok(Self { each: each.map(|values| values.cloned().collect()).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for PropertyArgs {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new("property")
                .short('D')
                .long("property")
                .num_args(3..=4)
                .value_names(["PACKET", "PROPERTY", "VALUE"])
                .action(ArgAction::Append)
                .help(
                    "A property of 5.0, such as `-D publish content-type text/plain` or `-D publish user-property a b`",
                ),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What a client may put properties into, as the command line calls it.
const HOSTS: [(&str, Host); 6] = [
    ("connect", Host::Packet(PacketType::Connect)),
    ("will", Host::Will),
    ("publish", Host::Packet(PacketType::Publish)),
    ("subscribe", Host::Packet(PacketType::Subscribe)),
    ("unsubscribe", Host::Packet(PacketType::Unsubscribe)),
    ("disconnect", Host::Packet(PacketType::Disconnect)),
];

impl PropertyArgs {
    /// Refuses what none of `hosts` will carry, or this version, so that nothing given is silently left out.
    pub(super) fn check(&self, hosts: &[Host], version: Version) -> anyhow::Result<()> {
        for args in &self.each {
            if !version.has_properties() {
                bail!("`-D {}`: only 5.0 has properties; leave it out, or use -V 5.0", args.join(" "));
            }
            let host = host(args)?;
            if !hosts.contains(&host) {
                bail!("`-D {}`: this command sends no {}", args.join(" "), args[0]);
            }
            read(args, host)?;
        }
        Ok(())
    }

    /// Those for `host`, in order.
    pub(super) fn of(&self, wanted: Host) -> anyhow::Result<PropertyBuf> {
        let mut list = PropertyBuf::new();
        let mut seen = 0;
        for args in &self.each {
            if host(args)? == wanted {
                let (id, wire) = read(args, wanted)?;
                if seen & id.bit() != 0 && !id.repeats_in(wanted) {
                    bail!("`-D {}`: given twice, and {id} may stand only once", args.join(" "));
                }
                seen |= id.bit();
                list.extend(Properties::kept(&wire));
            }
        }
        Ok(list)
    }
}

fn host(args: &[String]) -> anyhow::Result<Host> {
    let found = HOSTS.iter().find(|(name, _)| args.first().is_some_and(|arg| arg == name));
    found.map(|(_, host)| *host).with_context(|| {
        let names: Vec<&str> = HOSTS.iter().map(|(name, _)| *name).collect();
        format!("`-D {}`: the first word is one of {}", args.join(" "), names.join(", "))
    })
}

/// The property in wire form. The wire form needs one arm per type where the model would need one per property.
fn read(args: &[String], host: Host) -> anyhow::Result<(PropertyId, Vec<u8>)> {
    let place = || format!("`-D {}`", args.join(" "));
    let name = args.get(1).map_or("", String::as_str);
    let sendable = || PropertyId::all().filter(|id| id.sent_in(host, Side::Client) && *id != PropertyId::TopicAlias);
    let id = sendable().find(|id| kebab(*id) == name).with_context(|| {
        let known: Vec<String> = sendable().map(kebab).collect();
        format!("{}: the property is one of {}", place(), known.join(", "))
    })?;
    let wanted = if id.property_type() == PropertyType::Utf8StringPair { 4 } else { 3 };
    if args.len() != wanted {
        bail!("{}: {} takes {}", place(), kebab(id), if wanted == 4 { "a name and a value" } else { "one value" });
    }
    let value = &args[2];
    let number = |max: u32| {
        let number = value.parse::<u32>().ok().filter(|number| *number <= max);
        number.with_context(|| format!("{}: `{value}` is no number from 0 to {max}", place()))
    };
    let mut wire = vec![id as u8];
    match id.property_type() {
        PropertyType::Byte => wire.push(number(1)? as u8),
        PropertyType::TwoByteInteger => wire.extend((number(u32::from(u16::MAX))? as u16).to_be_bytes()),
        PropertyType::FourByteInteger => wire.extend(number(u32::MAX)?.to_be_bytes()),
        PropertyType::VariableByteInteger => crate::packet::put_variable(&mut wire, number(0x0FFF_FFFF)?),
        PropertyType::Utf8String | PropertyType::BinaryData | PropertyType::Utf8StringPair => {
            for text in &args[2..] {
                let length = u16::try_from(text.len())
                    .with_context(|| format!("`-D {} {name}`: longer than 65,535 bytes", args[0]))?;
                wire.extend(length.to_be_bytes());
                wire.extend(text.as_bytes());
            }
        }
    }
    Ok((id, wire))
}

/// `Content Type` as `content-type`.
fn kebab(id: PropertyId) -> String {
    id.name().to_lowercase().replace(' ', "-")
}
