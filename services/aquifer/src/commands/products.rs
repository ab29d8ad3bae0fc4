//! `aquifer products`: what was made from runs, recorded with its digest.

use std::path::Path;
use std::process::ExitCode;

use aquifer_catalogue::{Catalogue, CatalogueError, ElementKind, Product};
use aquifer_schemas::RunId;
use aquifer_storage::{
    ObjectKey, ObjectMeta, S3Element, SourceFile, StorageElement as _, StoreOptions,
};
use serde::Serialize;

use super::{open_catalogue, run_id, select};
use crate::cli::{AddProductArgs, ListProductsArgs, ProductsCommand};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// What keys of uploaded products begin with.
const PREFIX: &str = "products";

/// A product and its run.
#[derive(Debug, Serialize)]
struct Listed {
    run: RunId,
    #[serde(flatten)]
    product: Product,
}

/// Records a product, or lists them.
pub(super) async fn run(config: Config, command: ProductsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProductsCommand::Add(args) => add(&config, &args).await?,
        ProductsCommand::List(args) => list(&config, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(config: &Config, args: &AddProductArgs) -> anyhow::Result<()> {
    let run = run_id(config, &args.run)?;
    let catalogue = open_catalogue(config).await?;
    if catalogue.run(&run).await?.is_none() {
        return Err(CatalogueError::UnknownRun { run }.into());
    }
    let element = S3Element::new(config.storage.clone())?;
    let (key, size, crc64nvme) = match args.source.strip_prefix("s3://") {
        Some(place) => {
            let key = adopted(&element, place)?;
            let read = element.read_back(&key).await?;
            (key, read.size, read.crc64nvme)
        }
        None => upload(&element, &run, args).await?,
    };
    let product = Product {
        level: args.level.clone(),
        pass: args.pass.clone(),
        version: args.version,
        element: element.name().to_owned(),
        bucket: Some(element.location().to_owned()),
        location: key.to_string(),
        size,
        crc64nvme: crc64nvme.to_string(),
    };
    let new = record(&catalogue, &element, &run, &product).await?;
    if args.json {
        return output::json(&Listed { run, product });
    }
    let done = if new { "recorded" } else { "was recorded" };
    output::line(format!(
        "{run} {} {} v{} {done}: s3://{}/{}, {}, crc64nvme {}",
        product.level,
        product.pass,
        product.version,
        element.location(),
        product.location,
        output::size(product.size),
        product.crc64nvme
    ))?;
    Ok(())
}

/// The key of an object of the configured bucket.
fn adopted(element: &S3Element, place: &str) -> anyhow::Result<ObjectKey> {
    let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
    if bucket != element.location() {
        let what = format!("bucket `{bucket}` is not the configured one");
        let hint = format!(
            "`storage.bucket` is `{}`; fetch the object and add it as a file",
            element.location()
        );
        return Err(Hinted::usage(what, hint).into());
    }
    Ok(key.parse()?)
}

/// Stores a file where products lie; the same file again is found there.
async fn upload(
    element: &S3Element,
    run: &RunId,
    args: &AddProductArgs,
) -> anyhow::Result<(ObjectKey, u64, aquifer_digest::Crc64Nvme)> {
    let path = Path::new(&args.source);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (level, pass, version) = (&args.level, &args.pass, args.version);
    let key: ObjectKey = format!(
        "{PREFIX}/{}/{:08}/v{}/{level}/{pass}/v{version}/{name}",
        run.site, run.number, run.version
    )
    .parse()?;
    element.probe().await?;
    let file = SourceFile::open(path).await?;
    let stored = element
        .store_file(&file, &key, &ObjectMeta::new(), StoreOptions::default())
        .await?;
    let digests = stored.sealed.digests();
    Ok((key, digests.size, digests.crc64nvme))
}

/// Records a product; the storage too, if no ingester has done so yet.
async fn record(
    catalogue: &Catalogue,
    element: &S3Element,
    run: &RunId,
    product: &Product,
) -> anyhow::Result<bool> {
    let url = format!("s3://{}", element.location());
    catalogue
        .register_element(element.name(), ElementKind::S3, None, &url)
        .await?;
    Ok(catalogue.record_product(run, product).await?)
}

async fn list(config: &Config, args: &ListProductsArgs) -> anyhow::Result<()> {
    let catalogue = open_catalogue(config).await?;
    let mut listed = Vec::new();
    for detail in select::runs(config, &catalogue, &args.runs).await? {
        let run = detail.row.id;
        for product in catalogue.products(&run).await? {
            let run = run.clone();
            listed.push(Listed { run, product });
        }
    }
    let wanted =
        |want: &Option<String>, have: &str| want.as_deref().is_none_or(|want| want == have);
    listed.retain(|listed| {
        let product = &listed.product;
        wanted(&args.level, &product.level) && wanted(&args.pass, &product.pass)
    });
    if args.json {
        return output::json(&listed);
    }
    let rows = listed.into_iter().map(|Listed { run, product }| {
        let place = match &product.bucket {
            Some(bucket) => format!("s3://{bucket}/{}", product.location),
            None => product.location.clone(),
        };
        vec![
            run.to_string(),
            product.level,
            product.pass,
            product.version.to_string(),
            output::size(product.size),
            product.crc64nvme,
            place,
        ]
    });
    let titles = ["RUN", "LEVEL", "PASS", "VERSION", "SIZE", "CRC64NVME", "AT"];
    output::table(&titles, rows)?;
    Ok(())
}
