"""Sends each composed config to the machine that its `hw` names: here, or SageMaker."""
