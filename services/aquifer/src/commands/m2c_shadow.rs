//! `aquifer m2c shadow`: asks a rehearsal what it would have stored, and holds that against
//! what the ingester in service did: by the catalogue, where that is Aquifer too, or by the
//! objects in a bucket.

use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, RunDetail};
use aquifer_m2c::{ShadowFate, ShadowObject, ShadowRun};
use aquifer_schemas::{FileName, RunId};
use aquifer_storage::{S3Config, S3Element, StorageElement as _};
use serde::Serialize;

use super::m2c_status::{ask, no_answer, url_of};
use super::open_catalogue;
use crate::cli::{KeyTemplate, M2cShadowArgs};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// A file as the rehearsal sees it, and as the ingester in service does.
#[derive(Debug, Serialize)]
struct Line<'a> {
    run: &'a RunId,
    file: &'a FileName,
    #[serde(flatten)]
    fate: &'a ShadowFate,
    service: InService,
}

/// What the ingester in service did with a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "how")]
enum InService {
    /// The same, as far as can be told.
    Same,
    /// It has nothing of it.
    Missing,
    /// Something else.
    Differs(String),
    /// There is nothing to compare: the rehearsal did not store it, either.
    Open,
}

/// Who is asked what the ingester in service did.
enum Service {
    Catalogue(Catalogue),
    Bucket(Box<S3Element>, KeyTemplate),
}

/// Prints one line per file; the exit code says whether anything differs.
pub(super) async fn run(config: Config, args: M2cShadowArgs) -> anyhow::Result<ExitCode> {
    let url = args
        .url
        .clone()
        .unwrap_or_else(|| url_of(config.m2c.listen));
    let runs: Vec<ShadowRun> = match ask(&url, "shadow").await {
        Ok(runs) => runs,
        Err(error) => return Ok(no_answer(&error)),
    };
    let service = Service::of(&config, args.compare_bucket, args.key_template).await?;
    let mut lines = Vec::new();
    for run in &runs {
        let known = service.run(&run.run).await?;
        for file in &run.files {
            let compared = service.compare(known.as_ref(), &run.run, &file.name, &file.fate);
            lines.push(Line {
                run: &run.run,
                file: &file.name,
                fate: &file.fate,
                service: compared.await?,
            });
        }
    }
    if args.json {
        output::json(&lines)?;
    } else {
        let titles = ["RUN", "FILE", "WOULD BE", "SIZE", "CRC64NVME", "IN SERVICE"];
        output::table(&titles, lines.iter().map(columns))?;
    }
    let differs = |line: &Line| !matches!(line.service, InService::Same | InService::Open);
    Ok(ExitCode::from(u8::from(lines.iter().any(differs))))
}

fn columns(line: &Line) -> Vec<String> {
    let (fate, size, crc64nvme) = match line.fate {
        ShadowFate::Stored(object) => (
            object.key.clone(),
            output::size(object.size),
            object.crc64nvme.to_string(),
        ),
        ShadowFate::Waiting => (
            "waiting to be read".to_owned(),
            output::dash(),
            output::dash(),
        ),
        ShadowFate::Quarantined { reason } => (
            format!("quarantined: {reason}"),
            output::dash(),
            output::dash(),
        ),
    };
    let service = match &line.service {
        InService::Same => "same".to_owned(),
        InService::Missing => "NOT THERE".to_owned(),
        InService::Differs(how) => format!("DIFFERS: {how}"),
        InService::Open => output::dash(),
    };
    let (run, file) = (line.run.to_string(), line.file.to_string());
    vec![run, file, fate, size, crc64nvme, service]
}

impl Service {
    async fn of(
        config: &Config,
        bucket: Option<String>,
        template: KeyTemplate,
    ) -> anyhow::Result<Self> {
        if let Some(bucket) = bucket {
            let element = S3Element::new(S3Config {
                bucket,
                prefix: String::new(),
                ..config.storage.clone()
            })?;
            return Ok(Self::Bucket(Box::new(element), template));
        }
        let opened = open_catalogue(config).await;
        let catalogue = opened.map_err(|error| {
            let hint = "`--compare-bucket` compares with the objects in a bucket instead";
            Hinted::new(format!("{error:#}"), hint)
        })?;
        Ok(Self::Catalogue(catalogue))
    }

    /// The run in the catalogue, where that is compared with and has it.
    async fn run(&self, run: &RunId) -> anyhow::Result<Option<RunDetail>> {
        Ok(match self {
            Self::Catalogue(catalogue) => catalogue.run_detail(run).await?,
            Self::Bucket(..) => None,
        })
    }

    async fn compare(
        &self,
        known: Option<&RunDetail>,
        run: &RunId,
        name: &FileName,
        fate: &ShadowFate,
    ) -> anyhow::Result<InService> {
        let ShadowFate::Stored(object) = fate else {
            return Ok(InService::Open);
        };
        match self {
            Self::Catalogue(_) => Ok(in_catalogue(known, name, object)),
            Self::Bucket(element, template) => {
                let key = template.key(run, name, &object.disk);
                in_bucket(element, &key, object).await
            }
        }
    }
}

fn in_catalogue(known: Option<&RunDetail>, name: &FileName, object: &ShadowObject) -> InService {
    let mut files = known.iter().flat_map(|run| &run.files);
    let Some(file) = files.find(|file| file.name == *name) else {
        return InService::Missing;
    };
    let Some(crc64nvme) = &file.crc64nvme else {
        return InService::Differs(format!("it is {}", file.state));
    };
    let same = *crc64nvme == object.crc64nvme.to_string() && file.size == Some(object.size);
    if same {
        InService::Same
    } else {
        InService::Differs(format!("its crc64nvme is {crc64nvme}"))
    }
}

/// An object is compared by what its server tells of it. Others store the file as it lies
/// in the buffer.
async fn in_bucket(
    element: &S3Element,
    key: &str,
    object: &ShadowObject,
) -> anyhow::Result<InService> {
    let Some(there) = element.head(&key.parse()?).await? else {
        return Ok(InService::Missing);
    };
    if there.size != object.disk_size {
        let (size, ours) = (there.size, object.disk_size);
        let how = format!("`{key}` has {size} bytes, and the file {ours}");
        return Ok(InService::Differs(how));
    }
    let stored = (object.stored_size == object.disk_size).then_some(object.stored_crc64nvme);
    Ok(match (there.crc64nvme, stored) {
        (Some(there), Some(ours)) if there != ours => {
            InService::Differs(format!("the crc64nvme of `{key}` is {there}"))
        }
        _ => InService::Same,
    })
}
