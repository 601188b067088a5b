"""The writer of small models under the name by which the tests know it."""
from coral_classify.testing.small_models import *  # noqa: F403
