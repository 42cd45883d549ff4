//! `testament merge`: joins the shards of a run and judges what they came to together.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::OK;
use super::conform::timestamp;
use super::fleet::outputs::{Outputs, write_part};
use super::sink::opened;
use super::text::{print, read};
use crate::fleet::part::Part;

/// Options of `testament merge`.
#[derive(Debug, Args)]
pub(super) struct Merge {
    /// What `testament fleet --shard I/N --json FILE` wrote, in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write what the files come to together as a file that can be merged again, and judge nothing
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    part: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

impl Merge {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let joined = opened(self.part.as_deref())?;
        let mut sum: Option<Part> = None;
        for path in &self.files {
            let shown = path.display();
            let text = read("the shard", path)?;
            let part: Part = serde_json::from_str(&text)
                .with_context(|| format!("{shown} is not what `testament fleet --shard I/N --json FILE` writes"))?;
            part.check().with_context(|| format!("{shown} cannot be merged"))?;
            match &mut sum {
                None => sum = Some(part),
                Some(sum) => {
                    sum.add(&part).with_context(|| format!("{shown} cannot be merged with those before it"))?
                }
            }
        }
        let Some(part) = sum else { bail!("name the files of the shards") };
        let missing = part.missing();
        let words = || missing.iter().map(|shard| format!("{shard}/{}", part.of)).collect::<Vec<_>>().join(", ");
        if joined.is_some() {
            write_part(joined, &part)?;
            print(&if missing.is_empty() {
                "all shards are there\n".to_owned()
            } else {
                format!("missing: {}\n", words())
            })?;
            return Ok(OK);
        }
        if !missing.is_empty() {
            bail!("shards are missing: {}; play them with `testament fleet SCENARIO --shard I/N --json FILE`", words());
        }
        let outputs = self.outputs.open()?;
        let (seed, of) = (part.seed, part.of);
        let (played, measured) = match part.played() {
            Ok(played) => played,
            Err(why) => bail!("{}: {why}", self.files[0].display()),
        };
        let again = format!("testament fleet SCENARIO --seed {seed} --shard I/{of}, for each I");
        outputs.report(played, &measured, timestamp(), again)
    }
}
