"""Snow maps against a reference: counted, scored by stratum, with intervals, in one report."""
