"""The only place that talks to AWS. Every module begins with `_`: Hydra imports all others at each start."""
