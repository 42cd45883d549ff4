//! The command line: one file per verb. Exit codes are documented constants; every error says what to do.

mod brokers;
mod compare;
mod conform;
mod connect;
mod explain;
mod fleet;
mod format;
mod interrupt;
mod line;
mod link;
mod list;
mod matrix;
mod merge;
mod mutants;
mod property;
mod publish;
mod serve;
mod sink;
mod subscribe;
mod text;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// At least one Pass and no Fail, Broken or Inconclusive; for other verbs: done.
pub const OK: u8 = 0;
/// Any Fail; of two runs, anything worse in the later one; of mutants, any that survives.
pub const FAILED: u8 = 1;
/// Usage or environment, or any Broken or Inconclusive without a Fail.
pub const TROUBLE: u8 = 2;
/// Interrupted by Ctrl-C or SIGTERM, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Judges MQTT brokers, and plays fleets of devices on bad links against them: every verdict cites its clause and carries
/// its evidence.
///
/// Without a command it judges the bundled broker, in virtual time.
#[derive(Debug, Parser)]
#[command(name = "testament", version, arg_required_else_help = false, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What stands at the end of the help.
const AFTER: &str = "\
Exit codes: 0, all is well; 1, something failed; 2, wrong usage, or an environment that failed.

  testament conform mosquitto                    judge a broker that is installed
  testament conform mqtt://127.0.0.1:1883        judge one that runs already
  testament fleet scenarios/cell-outage.ron      play a fleet in virtual time";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Judge a broker against the standards
    Conform(Box<conform::Conform>),
    /// Say what changed between two runs, the worst first
    Compare(compare::Compare),
    /// Say which brokers are installed, or install them
    Brokers(brokers::Brokers),
    /// Judge many brokers, and put what they do beside each other
    Matrix(matrix::Run),
    /// Play a fleet of devices on bad links, and judge what became of its messages
    Fleet(fleet::Fleet),
    /// Join the shards of a fleet that several processes played, and judge what they came to
    Merge(merge::Merge),
    /// List cases, requirements or brokers
    List(list::List),
    /// Print a rule, or a case, and what belongs to it
    Explain(explain::Explain),
    /// Show that the cases can fail: break the reference broker in named ways, and see which case finds which
    Mutants(mutants::Mutants),
    /// Show the bad networks to choose from, or make one of a measurement
    Link(link::Link),
    /// Run the reference broker
    Serve(serve::Serve),
    /// Publish messages
    #[command(name = "pub")]
    Publish(publish::Publish),
    /// Subscribe and print what arrives
    #[command(name = "sub")]
    Subscribe(subscribe::Subscribe),
}

/// Parses the command line, does what it asks, and prints what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb.unwrap_or_else(|| Verb::Conform(Box::new(conform::Conform::reference()))) {
        Verb::Conform(verb) => verb.run(),
        Verb::Compare(verb) => verb.run(),
        Verb::Brokers(verb) => verb.run(),
        Verb::Matrix(verb) => verb.run(),
        Verb::Fleet(verb) => verb.run(),
        Verb::Merge(verb) => verb.run(),
        Verb::List(verb) => verb.run(),
        Verb::Explain(verb) => verb.run(),
        Verb::Mutants(verb) => verb.run(),
        Verb::Link(verb) => verb.run(),
        Verb::Serve(verb) => verb.run(),
        Verb::Publish(verb) => verb.run(),
        Verb::Subscribe(verb) => verb.run(),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testament: {error:#}");
            ExitCode::from(TROUBLE)
        }
    }
}
