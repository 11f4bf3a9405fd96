"""Snow maps against a reference: counted, scored by stratum, with intervals, told in one report."""
