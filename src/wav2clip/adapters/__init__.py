"""Other benchmarks' interfaces: HEAR 2021, and MTEB with its audio part, MAEB."""
