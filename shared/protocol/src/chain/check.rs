//! Checks the consistency of a chain: names, needs, and what templates read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Extract, GateName, MergeOf, Models, NotBy, OnFailure, Person, StepName, StepTools, Validate,
    Work,
    faults::{Faults, Location},
    template::{OF_MANY, OF_ONE, Uses},
};

/// A step as parsed; invalid parts are absent.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its number in the list, from 1.
    pub(super) number: usize,
    /// How errors refer to it.
    pub(super) location: Location,
    pub(super) name: Option<StepName>,
    /// Whether what decides on its place in the graph (`needs`, `gather`, `foreach`) could be read.
    pub(super) is_complete: bool,
    pub(super) needs: Vec<StepName>,
    pub(super) when: Option<String>,
    pub(super) on_failure: OnFailure,
    pub(super) foreach: Option<String>,
    pub(super) gather: Option<StepName>,
    pub(super) models: Option<Models>,
    pub(super) merge: Option<MergeOf>,
    pub(super) not_by: Option<NotBy>,
    pub(super) min_success: Option<u32>,
    pub(super) ends_early: bool,
    pub(super) work: Option<Work>,
    /// What its texts, its condition and its list read, each with the field for errors.
    pub(super) uses: Vec<(String, Uses)>,
    pub(super) gate: Option<GateName>,
    pub(super) extract: Option<Extract>,
    pub(super) validate: Option<Validate>,
    pub(super) person: Option<Person>,
    pub(super) tools: Option<StepTools>,
}

impl Draft {
    /// A step of which nothing could be read.
    pub(super) fn unreadable(number: usize, location: Location) -> Self {
        Self {
            number,
            location,
            name: None,
            is_complete: false,
            needs: Vec::new(),
            when: None,
            on_failure: OnFailure::Fail,
            foreach: None,
            gather: None,
            models: None,
            merge: None,
            not_by: None,
            min_success: None,
            ends_early: false,
            work: None,
            uses: Vec::new(),
            gate: None,
            extract: None,
            validate: None,
            person: None,
            tools: None,
        }
    }

    /// Whether it is known how many jobs it runs.
    fn is_known(&self) -> bool {
        self.is_complete && self.work.is_some()
    }

    /// Whether it runs many jobs: the items of a list, one for each model, or spawned jobs.
    fn fans_out(&self) -> bool {
        self.foreach.is_some() || self.models.is_some() || self.spawns()
    }

    fn spawns(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.spawns)
    }
}

/// The steps by name, and the needs of each step as indexes.
struct Graph<'a> {
    steps: &'a [Draft],
    by_name: BTreeMap<&'a StepName, usize>,
    needs: Vec<BTreeSet<usize>>,
}

/// What the templates of a document may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Templates {
    /// Steps and items.
    OfChains,
    /// Also the job that called the recipe, and the steps of the last round.
    OfRecipes,
}

/// Checks all steps, and what the texts of the job after the end read.
pub(super) fn check(
    steps: &[Draft],
    after: Option<&Vec<(String, Uses)>>,
    templates: Templates,
    faults: &mut Faults,
) {
    let graph = Graph::of(steps, faults);
    let far = graph.read_from_afar();
    let upstream = graph.upstream(&far, faults);
    for ((step, upstream), direct) in steps.iter().zip(&upstream).zip(&graph.needs) {
        graph.check_gather(step, faults);
        check_min_success(step, faults);
        check_spawn(step, faults);
        check_recipe_beside(step, faults);
        for (field, uses) in &step.uses {
            let location = step.location.within(field);
            check_items(step, field, uses, &location, faults);
            graph.check_recipe(uses, templates, &location, faults);
            for (name, read) in &uses.fields {
                let is_upstream = |at| {
                    // In a cycle, the order is undefined; the cycle itself is reported.
                    !step.is_complete
                        || upstream.as_ref().is_none_or(|set| match far.get(&at) {
                            Some(bit) => set.contains(*bit),
                            None => direct.contains(&at),
                        })
                };
                graph.check_read(
                    "steps",
                    name,
                    read.as_deref(),
                    is_upstream,
                    &location,
                    faults,
                );
            }
        }
    }
    for (field, uses) in after.into_iter().flatten() {
        let location = Location::chain().within(&format!("field `on_complete`: {field}"));
        if uses.item || uses.gathered {
            faults.add(
                &location,
                "after the end there is no `item`, `index` or `gathered`",
            );
        }
        graph.check_recipe(uses, templates, &location, faults);
        for (name, read) in &uses.fields {
            graph.check_read("steps", name, read.as_deref(), |_| true, &location, faults);
        }
    }
}

impl<'a> Graph<'a> {
    fn of(steps: &'a [Draft], faults: &mut Faults) -> Self {
        let mut by_name = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            let Some(name) = &step.name else { continue };
            if let Some(first) = by_name
                .get(name)
                .and_then(|first: &usize| steps.get(*first))
            {
                let (number, other) = (step.number, first.number);
                faults.add(
                    &Location::step(number, format!("step {number}")),
                    format!("field `name`: `{name}` is the name of step {other} as well; expected another"),
                );
            } else {
                by_name.insert(name, at);
            }
        }
        let mut graph = Self {
            steps,
            by_name,
            needs: Vec::with_capacity(steps.len()),
        };
        for step in steps {
            let needs = graph.needs_of(step, faults);
            graph.needs.push(needs);
        }
        graph
    }

    fn needs_of(&self, step: &Draft, faults: &mut Faults) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for need in &step.needs {
            let field = if step.gather.as_ref() == Some(need) {
                "gather"
            } else {
                "needs"
            };
            if step.name.as_ref() == Some(need) {
                faults.add(
                    &step.location,
                    format!("field `{field}`: a step cannot need itself"),
                );
            } else if let Some(at) = self.by_name.get(need) {
                found.insert(*at);
            } else if self.has_all_names() && !is_checked(step, need) {
                let near = self.near(need);
                faults.add(
                    &step.location,
                    format!("field `{field}`: there is no step `{need}`{near}"),
                );
            }
        }
        found
    }

    /// Whether the names of all steps are known. If not, a step that is not found may be there.
    fn has_all_names(&self) -> bool {
        self.steps.iter().all(|step| step.name.is_some())
    }

    /// The step whose name is close to this one.
    fn near(&self, name: &StepName) -> String {
        let near = |known: &&&StepName| strsim::levenshtein(known.as_str(), name.as_str()) <= 2;
        let far_enough = name.as_str().chars().count() > 3;
        let found = self.by_name.keys().find(near).filter(|_| far_enough);
        found.map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
    }

    /// The steps that others read without needing them directly, each with a bit number.
    fn read_from_afar(&self) -> BTreeMap<usize, usize> {
        let mut far = BTreeMap::new();
        for (step, direct) in self.steps.iter().zip(&self.needs) {
            let read = step.uses.iter().flat_map(|(_, uses)| uses.steps());
            for at in read.filter_map(|name| self.by_name.get(name)) {
                if !direct.contains(at) {
                    let next = far.len();
                    far.entry(*at).or_insert(next);
                }
            }
        }
        far
    }

    /// For each step, the `far` steps that end before it; `None` if a cycle makes that undefined.
    fn upstream(&self, far: &BTreeMap<usize, usize>, faults: &mut Faults) -> Vec<Option<StepSet>> {
        let count = self.steps.len();
        let mut left: Vec<usize> = self.needs.iter().map(BTreeSet::len).collect();
        let mut dependents = vec![Vec::new(); count];
        for (at, needs) in self.needs.iter().enumerate() {
            for need in needs {
                if let Some(list) = dependents.get_mut(*need) {
                    list.push(at);
                }
            }
        }
        let mut upstream: Vec<Option<StepSet>> = vec![None; count];
        let mut free: Vec<usize> = (0..count).filter(|at| left.get(*at) == Some(&0)).collect();
        while let Some(at) = free.pop() {
            let mut before = StepSet::empty(far.len());
            for need in self.needs.get(at).into_iter().flatten() {
                if let Some(bit) = far.get(need) {
                    before.insert(*bit);
                }
                if let Some(Some(further)) = upstream.get(*need) {
                    before.extend(further);
                }
            }
            if let Some(location) = upstream.get_mut(at) {
                *location = Some(before);
            }
            for dependent in dependents.get(at).into_iter().flatten() {
                if let Some(needs) = left.get_mut(*dependent) {
                    *needs -= 1;
                    if *needs == 0 {
                        free.push(*dependent);
                    }
                }
            }
        }
        self.name_circles(&upstream, faults);
        upstream
    }

    /// Reports the cycles among the steps that never become ready: follows the needs until one of them
    /// is already on the path.
    fn name_circles(&self, upstream: &[Option<StepSet>], faults: &mut Faults) {
        let stuck = |at: &usize| upstream.get(*at).is_some_and(Option::is_none);
        let needs_of = |at: usize| self.needs.get(at).into_iter().flatten().copied();
        let mut seen = BTreeSet::new();
        for start in (0..self.steps.len()).filter(stuck) {
            if !seen.insert(start) {
                continue;
            }
            let mut way = vec![(start, needs_of(start))];
            while let Some((_, needs)) = way.last_mut() {
                let Some(need) = needs.find(stuck) else {
                    way.pop();
                    continue;
                };
                if seen.insert(need) {
                    way.push((need, needs_of(need)));
                } else if let Some(from) = way.iter().position(|(at, _)| *at == need) {
                    let circle = way.iter().skip(from).map(|(at, _)| *at).chain([need]);
                    let names: Vec<_> = circle.filter_map(|at| self.name(at)).collect();
                    let names = names.join(" → ");
                    faults.add(
                        &Location::chain(),
                        format!("steps need one another in a circle: {names}"),
                    );
                }
            }
        }
    }

    fn name(&self, at: usize) -> Option<&str> {
        self.steps.get(at)?.name.as_ref().map(StepName::as_str)
    }

    fn check_gather(&self, step: &Draft, faults: &mut Faults) {
        let gathered = step.gather.as_ref().and_then(|name| self.by_name.get(name));
        let Some(gathered) = gathered.and_then(|at| self.steps.get(*at)) else {
            return;
        };
        if gathered.is_known() && !gathered.fans_out() {
            faults.add(
                &step.location,
                format!(
                    "field `gather`: {} does not fan out; expected one with `foreach`, `models` or `spawn`",
                    gathered.location
                ),
            );
        }
    }

    /// Checks what a template reads that only a recipe has.
    fn check_recipe(
        &self,
        uses: &Uses,
        templates: Templates,
        location: &Location,
        faults: &mut Faults,
    ) {
        if templates == Templates::OfChains && uses.of_recipe() {
            faults.add(
                location,
                "only a recipe has `job`, `parameters`, `round` and `last`",
            );
            return;
        }
        for (name, read) in &uses.last {
            self.check_read("last", name, read.as_deref(), |_| true, location, faults);
        }
    }

    /// Checks one field that a template reads of a step, behind `steps` or `last`.
    fn check_read(
        &self,
        root: &str,
        name: &StepName,
        read: Option<&str>,
        is_upstream: impl Fn(usize) -> bool,
        location: &Location,
        faults: &mut Faults,
    ) {
        let found = self.by_name.get(name);
        let Some((at, step)) = found.and_then(|at| Some((*at, self.steps.get(*at)?))) else {
            if self.has_all_names() {
                let near = self.near(name);
                faults.add(
                    location,
                    format!("`{root}.{name}`: there is no step `{name}`{near}"),
                );
            }
            return;
        };
        if !is_upstream(at) {
            faults.add(
                location,
                format!("`{root}.{name}`: step `{name}` is not done before; expected it in `needs`, or before one that is"),
            );
        }
        let (known, kind) = if step.fans_out() {
            (OF_MANY, "fans out")
        } else {
            (OF_ONE, "does not fan out")
        };
        if let Some(read) = read
            && step.is_known()
            && !known.contains(&read)
        {
            let known = known.join(", ");
            faults.add(
                location,
                format!("`{root}.{name}.{read}`: step `{name}` {kind}; expected one of {known}"),
            );
        }
    }
}

/// Whether `validate` names the step. That field reports it if it is unknown.
fn is_checked(step: &Draft, need: &StepName) -> bool {
    let validate = step.validate.as_ref();
    validate.is_some_and(|validate| validate.of == *need)
}

fn check_spawn(step: &Draft, faults: &mut Faults) {
    if step.foreach.is_some() && step.spawns() {
        faults.add(
            &step.location,
            "field `spawn`: a step with `foreach` cannot spawn; expected one of the two",
        );
    }
}

/// Refuses what describes a call beside `recipe`, which makes several.
fn check_recipe_beside(step: &Draft, faults: &mut Faults) {
    if step.work.as_ref().is_none_or(|work| work.recipe.is_none()) {
        return;
    }
    let beside = [
        ("models", step.models.is_some()),
        ("not_by", step.not_by.is_some()),
        ("on_failure", step.on_failure == OnFailure::Escalate),
    ];
    for (field, _) in beside.into_iter().filter(|(_, is_set)| *is_set) {
        faults.add(
            &step.location,
            format!("field `{field}`: cannot stand beside `recipe`: the recipe decides which models it asks"),
        );
    }
}

/// `item` and `gathered` exist only in steps with `foreach` and `gather`.
fn check_items(step: &Draft, field: &str, uses: &Uses, location: &Location, faults: &mut Faults) {
    if !step.is_complete {
        return;
    }
    if uses.item && step.foreach.is_none() {
        faults.add(
            location,
            "there is no `item` or `index`; expected `foreach` in this step",
        );
    }
    if uses.item
        && step.foreach.is_some()
        && (field.contains("`when`") || field.contains("`foreach`"))
    {
        faults.add(
            location,
            "`item` and `index` are known once the step has fanned out, not before",
        );
    }
    if uses.gathered && step.gather.is_none() {
        faults.add(
            location,
            "there is nothing `gathered`; expected `gather` in this step",
        );
    }
}

fn check_min_success(step: &Draft, faults: &mut Faults) {
    let Some(least) = step.min_success else {
        return;
    };
    if step.foreach.is_some() || !step.is_complete {
        return;
    }
    if let Some(models) = &step.models {
        if let Some(asked) = models.known_count().filter(|asked| least > *asked) {
            faults.add(
                &step.location,
                format!("field `min_success`: expected a number from 1 to {asked}, the number of its models, but got {least}"),
            );
        }
        return;
    }
    let needs = step.needs.len();
    if needs == 0 {
        faults.add(
            &step.location,
            "field `min_success`: expected `foreach` or `needs` beside it, but there is neither",
        );
    } else if usize::try_from(least).is_ok_and(|least| least > needs) {
        faults.add(
            &step.location,
            format!("field `min_success`: expected a number from 1 to {needs}, the number of its needs, but got {least}"),
        );
    }
}

/// A bit set of steps: 10,000 sets of 10,000 steps take 12 MB.
#[derive(Debug, Clone)]
struct StepSet(Vec<u64>);

impl StepSet {
    fn empty(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn insert(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn contains(&self, at: usize) -> bool {
        self.0
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn extend(&mut self, other: &Self) {
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            *ours |= theirs;
        }
    }
}
