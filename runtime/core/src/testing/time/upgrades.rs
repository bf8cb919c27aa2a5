//! Programs that change between runs, and while a run was killed: a state in another layout is taken over once and for all, one that is of no use is never lost in
//! silence.

use super::*;

/// The same plan with a narrower key: it is an `integer`.
fn narrow(topology: Topology) -> Planned {
    let mut plan = plan_of(topology);
    let is_key = |field: &Field| ["k", "o.k"].contains(&field.name.as_str());
    let shrink = |schema: &mut Schema| {
        schema.fields.iter_mut().filter(|field| is_key(field)).for_each(|field| field.ty.data = DataType::Integer);
    };
    for node in &mut plan.plan.graph.nodes {
        shrink(&mut node.schema);
        let Operator::Transform(program) = &mut node.operator else { continue };
        for output in program.outputs.iter_mut().filter(|output| is_key(&output.field)) {
            output.field.ty.data = DataType::Integer;
            let (value, on_failure) = (Box::new(output.value.clone()), flowc_ir::CastFailure::Error);
            output.value = Expr::new(ExprKind::Cast { value, on_failure }, output.field.ty.clone(), Origin::default());
        }
    }
    plan.plan.sinks.iter_mut().for_each(|sink| shrink(&mut sink.schema));
    flowc_ir::verify::verify(&plan.plan).unwrap();
    plan
}

/// The same plan with windows of another length.
fn longer() -> Planned {
    let mut plan = plan_of(Topology::Windows);
    for node in &mut plan.plan.graph.nodes {
        if let Operator::WindowAggregate(spec) = &mut node.operator {
            spec.window = Window::Tumble { size: 20, align: Alignment::default() };
        }
    }
    plan
}

async fn straight_of(plan: &Planned) -> BTreeMap<String, Vec<String>> {
    let (outside, state) = (outside(), tempfile::tempdir().unwrap());
    parts().iter().for_each(|part| add(&outside, part));
    let memory = Memory { outside: Arc::clone(&outside), faults: Faults::none() };
    plan.run(&memory, RunOptions { drain: true, ..options(state.path(), 1, 1024, None) }).await.unwrap();
    everything(&outside)
}

#[tokio::test]
async fn killed_while_the_state_is_taken_over_nothing_is_lost_or_written_twice() {
    for topology in [Topology::Windows, Topology::Join, Topology::FirstAndBest] {
        let wanted = straight(topology).await;
        assert_eq!(straight_of(&narrow(topology)).await, wanted);
        let (mut fired, mut migrated) = (0, 0);
        for kill in (0..2000).step_by(3) {
            let (outside, state) = (outside(), tempfile::tempdir().unwrap());
            let (none, parts) = (Faults::none(), parts());
            let memory = |faults: &Arc<Faults>| Memory { outside: Arc::clone(&outside), faults: Arc::clone(faults) };
            // The old program is killed in its second run, the new one while it takes over what is there.
            add(&outside, &parts[0]);
            narrow(topology).run(&memory(&none), options(state.path(), 2, 3, Some(7))).await.unwrap();
            add(&outside, &parts[1]);
            let old = Faults::after(kill / 2);
            let _ = narrow(topology).run(&memory(&old), options(state.path(), 1, 4, Some(9))).await;
            let (plan, checkpoint) = (plan_of(topology).plan, checkpoint(state.path()));
            let fates = crate::upgrade::compare(&plan, &checkpoint, &crate::state::Segments::of(state.path())).unwrap();
            migrated += fates.iter().filter(|fate| fate.fate == crate::upgrade::Fate::Migrated).count();
            add(&outside, &parts[2]);
            let faults = Faults::after(kill);
            let done = plan_of(topology).run(&memory(&faults), options(state.path(), 2, 2, Some(8))).await.is_ok();
            let last = RunOptions { drain: true, ..options(state.path(), 1, 5, None) };
            plan_of(topology).run(&memory(&none), last).await.unwrap();
            assert_eq!(everything(&outside), wanted, "{topology:?}: kill after {kill}");
            fired += usize::from(faults.hit());
            if done && !old.hit() {
                break;
            }
        }
        assert!(fired > 10 && migrated > 10, "{topology:?}: {fired} kills, {migrated} migrations");
    }
}

fn checkpoint(state: &Path) -> crate::state::Checkpoint {
    crate::state::look(state, "p").unwrap().unwrap().checkpoint.unwrap()
}

#[tokio::test]
async fn an_epoch_that_another_program_began_does_not_lose_the_state_of_a_step() {
    let (wanted, plan) = (straight_of(&longer()).await, plan_of(Topology::Windows));
    let (mut refused, mut rebuilt) = (0, 0);
    for kill in 0..400 {
        let (outside, state) = (outside(), tempfile::tempdir().unwrap());
        let (none, parts, faults) = (Faults::none(), parts(), Faults::after(kill));
        let memory = |faults: &Arc<Faults>| Memory { outside: Arc::clone(&outside), faults: Arc::clone(faults) };
        add(&outside, &parts[0]);
        plan.run(&memory(&none), options(state.path(), 1, 8, None)).await.unwrap();
        add(&outside, &parts[1]);
        let done = plan.run(&memory(&faults), options(state.path(), 1, 8, None)).await.is_ok();
        let before = everything(&outside);
        let error = longer().run(&memory(&none), options(state.path(), 1, 8, None)).await.unwrap_err();
        assert_eq!((error.code, &everything(&outside)), ("R0412", &before), "kill after {kill}");
        add(&outside, &parts[2]);
        let rebuild = RunOptions { rebuild: vec!["w".into()], ..options(state.path(), 1, 8, None) };
        match longer().run(&memory(&none), RunOptions { drain: true, ..rebuild.clone() }).await {
            Ok(_) => rebuilt += 1,
            // Some targets have the epoch, and only the old program can finish it.
            Err(error) => {
                assert_eq!(error.code, "R0412");
                assert!(error.help.unwrap().contains("the program as it was finishes it"));
                plan.run(&memory(&none), options(state.path(), 1, 8, None)).await.unwrap();
                longer().run(&memory(&none), RunOptions { drain: true, ..rebuild }).await.unwrap();
                refused += 1;
            }
        }
        assert_eq!(everything(&outside), wanted, "kill after {kill}");
        if done {
            break;
        }
    }
    assert!(refused > 0 && rebuilt > 5, "{refused} refused, {rebuilt} rebuilt");
}
