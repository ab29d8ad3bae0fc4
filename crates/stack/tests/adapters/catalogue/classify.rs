//! Types that people give to runs, and periods.

use aquifer_catalogue::{Catalogue, CatalogueError, Retyped, TransitionRow};
use aquifer_schemas::{Announcement, ClosedBy, Decoder, Period, RunClosed, RunStored};

use super::facts::{WHO, closed, lngs, opened, run, stored};
use super::history::{check_history, detail, outbox, topics};
use super::house::catalogue;
use crate::fixture::block_on;

fn retyped(run_type: &str, by_hand: bool) -> Retyped {
    Retyped {
        run_type: run_type.to_owned(),
        why: format!("it is {run_type}"),
        by_hand,
    }
}

/// What was announced since the last look.
async fn news(catalogue: &Catalogue, seen: &mut usize) -> Vec<Announcement> {
    let all = outbox(catalogue).await;
    let news = all[*seen..].to_vec();
    *seen = all.len();
    news
}

/// The type changes with its history, its announcement and its revision, or not at all.
#[test]
fn a_run_of_another_type_is_announced_anew_and_remembers_the_old_one() {
    block_on(async {
        let catalogue = catalogue().await;
        let id = run(1);
        let mut seen = 0;
        let unknown = catalogue.retype(&id, &retyped("x", true), WHO).await;
        assert!(matches!(unknown, Err(CatalogueError::UnknownRun { .. })));
        assert_eq!(catalogue.run(&id).await.unwrap(), None);

        catalogue.record_opened(&opened(&id)).await.unwrap();
        let open = catalogue
            .retype(&id, &retyped("beam", false), WHO)
            .await
            .unwrap();
        assert_eq!((open.run_type.as_deref(), open.revision), (Some("beam"), 2));
        assert!(
            outbox(&catalogue).await.is_empty(),
            "an open run was not announced"
        );

        catalogue.record_closed(&closed(&id, &["a"])).await.unwrap();
        news(&catalogue, &mut seen).await;
        let long = "é".repeat(200);
        catalogue
            .retype(&id, &retyped(&long, false), WHO)
            .await
            .unwrap();
        let rows = news(&catalogue, &mut seen).await;
        assert_eq!(topics(&rows), ["aquifer.daq.run-closed"]);
        let told: RunClosed = Decoder::new().decode(&rows[0].value).unwrap();
        assert_eq!(told.run_type, Some("é".repeat(128)));
        assert_eq!((told.revision, told.buffer.as_deref()), (4, Some("BUFFER")));

        catalogue
            .record_stored(&stored(&id, &["a"], &["a"]))
            .await
            .unwrap();
        news(&catalogue, &mut seen).await;
        for _ in 0..2 {
            let row = catalogue
                .retype(&id, &retyped("bad gas", true), WHO)
                .await
                .unwrap();
            assert_eq!((row.type_by.as_deref(), row.revision), (Some(WHO), 6));
        }
        let rows = news(&catalogue, &mut seen).await;
        assert_eq!(topics(&rows), ["aquifer.store.run-stored"], "once");
        let told: RunStored = Decoder::new().decode(&rows[0].value).unwrap();
        assert_eq!(
            (told.run_type.as_deref(), told.revision),
            (Some("bad gas"), 6)
        );
        assert_eq!(told.files.len(), 1);

        // Neither the profile nor a DAQ that speaks late has a word in it any more.
        let profile = catalogue
            .retype(&id, &retyped("beam", false), WHO)
            .await
            .unwrap();
        assert_eq!(profile.revision, 6);
        let mut late = closed(&id, &["a"]);
        late.closed_by = ClosedBy::Daq;
        late.run_type = Some("physics".to_owned());
        catalogue.record_closed(&late).await.unwrap();
        let detail = detail(&catalogue, &id).await;
        assert_eq!(detail.row.run_type.as_deref(), Some("bad gas"));
        check_history(&detail);
        let of_type = |step: &&TransitionRow| step.entity == "type";
        let steps: Vec<_> = detail.transitions.iter().filter(of_type).collect();
        let types: Vec<_> = steps.iter().map(|step| step.to.as_str()).collect();
        let cut = "é".repeat(128);
        assert_eq!(types, ["beam", &cut, "bad gas"]);
        assert_eq!(steps[2].why, "it is bad gas");
        assert_eq!((steps[2].who.as_str(), steps[2].revision), (WHO, 6));
    });
}

fn period(name: &str, from: &str, to: &str) -> Period {
    let edge = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    Period {
        name: name.to_owned(),
        site: None,
        from: edge(from),
        to: edge(to),
        description: String::new(),
    }
}

/// Periods read back as they were set, and cover the runs that they should.
#[test]
fn periods_are_set_listed_and_removed() {
    block_on(async {
        let catalogue = catalogue().await;
        catalogue.record_opened(&opened(&run(7))).await.unwrap();
        let row = catalogue.run(&run(7)).await.unwrap().unwrap();
        let here = Period {
            site: Some(lngs()),
            ..period("B", "7", "2026-11-23")
        };
        assert!(catalogue.set_period(&here, "ada").await.unwrap());
        assert!(
            !catalogue.set_period(&here, "bob").await.unwrap(),
            "as it was"
        );
        let ended = period("A", "2026-11-22T05:00:01Z", "");
        assert!(catalogue.set_period(&ended, "ada").await.unwrap());
        let periods = catalogue.periods().await.unwrap();
        let known: Vec<_> = periods.iter().map(|row| row.period.clone()).collect();
        assert_eq!(known, [ended, here.clone()]);
        assert_eq!(periods[1].set_by, "ada", "who set it so first");
        assert!(!periods[0].covers(&row) && periods[1].covers(&row));
        let later = Period { from: None, ..here };
        assert!(catalogue.set_period(&later, "bob").await.unwrap());
        let periods = catalogue.periods().await.unwrap();
        assert_eq!(
            (&periods[1].period, periods[1].set_by.as_str()),
            (&later, "bob")
        );
        let nowhere = Period {
            site: Some("MARS".parse().unwrap()),
            ..period("C", "", "")
        };
        let refused = catalogue.set_period(&nowhere, "ada").await;
        assert!(
            matches!(refused, Err(CatalogueError::UnknownSite { .. })),
            "{refused:?}"
        );
        let backward = catalogue.set_period(&period("C", "2", "1"), "ada").await;
        assert!(
            matches!(backward, Err(CatalogueError::Value { .. })),
            "{backward:?}"
        );
        assert!(catalogue.remove_period("A").await.unwrap());
        assert!(!catalogue.remove_period("A").await.unwrap());
        assert_eq!(catalogue.periods().await.unwrap().len(), 1);
    });
}
