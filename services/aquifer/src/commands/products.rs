//! `aquifer products`: what was made from runs, recorded with its digest.

use std::path::Path;
use std::process::ExitCode;

use aquifer_digest::Crc64Nvme;
use aquifer_monitor::shelf::{self, Known, ProductName, RunProduct, Shelf, ShelfError};
use aquifer_schemas::RunId;
use aquifer_storage::{
    ObjectKey, ObjectMeta, S3Element, SourceFile, StorageElement as _, StoreOptions,
};

use super::{files, open_catalogue, run_id, select};
use crate::cli::{AddProductArgs, ListProductsArgs, ProductsCommand};
use crate::config::Config;
use crate::failure::Hinted;
use crate::output;

/// What keys of uploaded products begin with.
const PREFIX: &str = "products";

/// Records a product, or lists them.
pub(super) async fn run(config: Config, command: ProductsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProductsCommand::Add(args) => add(&config, &args).await?,
        ProductsCommand::List(args) => list(&config, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(config: &Config, args: &AddProductArgs) -> anyhow::Result<()> {
    let id = run_id(config, &args.run)?;
    let element = S3Element::new(config.storage.clone())?;
    let shelf = Shelf::new(open_catalogue(config).await?, element);
    let name = ProductName {
        level: args.level.clone(),
        pass: args.pass.clone(),
        version: args.version,
    };
    let (recorded, new) = if args.source.starts_with("s3://") {
        let adopted = shelf.adopt(&id, &name, &args.source, Known::default());
        adopted.await.map_err(hinted)?
    } else {
        shelf.run(&id).await?;
        let (key, size, crc64nvme) = upload(shelf.element(), &id, &name, &args.source).await?;
        shelf.record(&id, &name, &key, size, crc64nvme).await?
    };
    if args.json {
        return output::json(&recorded);
    }
    let RunProduct { run, product } = recorded;
    let done = if new { "recorded" } else { "was recorded" };
    output::line(format!(
        "{run} {} {} v{} {done}: {}/{}, {}, crc64nvme {}",
        product.level,
        product.pass,
        product.version,
        shelf.element().url(),
        product.location,
        output::size(product.size),
        product.crc64nvme
    ))?;
    Ok(())
}

/// What to do about an object that is not taken.
fn hinted(error: ShelfError) -> anyhow::Error {
    if !matches!(error, ShelfError::Elsewhere { .. }) {
        return error.into();
    }
    let hint = "fetch the object and add it as a file";
    Hinted::usage(error.to_string(), hint).into()
}

/// Stores a file where products lie; the same file again is found there.
async fn upload(
    element: &S3Element,
    run: &RunId,
    name: &ProductName,
    source: &str,
) -> anyhow::Result<(ObjectKey, u64, Crc64Nvme)> {
    let path = Path::new(source);
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let ProductName {
        level,
        pass,
        version,
    } = name;
    let key: ObjectKey = format!(
        "{PREFIX}/{}/{:08}/v{}/{level}/{pass}/v{version}/{file_name}",
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

async fn list(config: &Config, args: &ListProductsArgs) -> anyhow::Result<()> {
    let catalogue = open_catalogue(config).await?;
    let mut listed = Vec::new();
    for detail in select::runs(config, &catalogue, &args.runs).await? {
        listed.extend(shelf::products(&catalogue, &detail.row.id).await?);
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
    let urls = files::urls(&catalogue).await?;
    let rows = listed.into_iter().map(|RunProduct { run, product }| {
        let base = urls.get(&product.element).map_or("", String::as_str);
        vec![
            run.to_string(),
            product.level,
            product.pass,
            product.version.to_string(),
            output::size(product.size),
            product.crc64nvme,
            format!("{base}/{}", product.location),
        ]
    });
    let titles = ["RUN", "LEVEL", "PASS", "VERSION", "SIZE", "CRC64NVME", "AT"];
    output::table(&titles, rows)?;
    Ok(())
}
