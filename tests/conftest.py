"""What all tests share: the profiles of the property tests."""

from hypothesis import settings

# The same examples in every run, so that a change is judged by what it changed; `--hypothesis-profile=hunt` draws
# new ones.
settings.register_profile("steady", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("hunt", max_examples=2000, deadline=None)
settings.load_profile("steady")
