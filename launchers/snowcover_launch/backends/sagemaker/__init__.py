"""Jobs on SageMaker."""
