"""The worker: takes trials from studies, trains them on its device, and tells what came of them."""
