"""Docker as a backend: each job a container on this machine, with SageMaker's own /opt/ml."""
