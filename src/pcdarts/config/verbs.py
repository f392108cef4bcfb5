"""All that `pcdarts` can do: one table from the name of a job to its configuration and its code."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pcdarts.config.bench_config import BenchConfig, MethodsConfig, TablesConfig
from pcdarts.config.compare_config import CompareConfig
from pcdarts.config.configs import (
    DataSplitConfig,
    ExportConfig,
    PredictConfig,
    SearchConfig,
    ShowConfig,
    StatusConfig,
    TestConfig,
    TrainConfig,
)
from pcdarts.config.detect_config import DetectTestConfig, DetectTrainConfig
from pcdarts.config.fit_config import FitConfig
from pcdarts.config.job_config import FolderConfig, JobConfig
from pcdarts.config.latency_config import LatencyConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.study_config import RankConfig, ReportConfig, ScoreConfig, StudyRunConfig, StudyStatusConfig


@dataclass(frozen=True)
class Job:
    """What a job is told, and the function that does it: `module:function`, imported when it is called for."""

    config: type[JobConfig]
    does: str
    pins: str = ""
    """The function of the same form that fixes for ever what a configuration refers to, such as the latest run."""
    plans: str = ""
    """The function that does what `--plan` asks for: it prints what the job would do here, and does nothing."""

    @property
    def has_run_folder(self) -> bool:
        """Whether it leaves a run folder, and can be resumed."""
        return issubclass(self.config, FolderConfig)


def imported(place: str) -> Callable[..., Any]:
    """The function at `module:function`."""
    module, _, function = place.partition(":")
    return getattr(import_module(module), function)


JOBS: dict[str, Job] = {
    "search": Job(SearchConfig, "pcdarts.jobs.search:run_search", plans="pcdarts.bench.plan:run_plan"),
    "methods": Job(MethodsConfig, "pcdarts.jobs.outcome.methods:run_methods"),
    "random search": Job(RandomSearchConfig, "pcdarts.jobs.random_search:run_random_search"),
    "train": Job(TrainConfig, "pcdarts.jobs.train:run_train", "pcdarts.jobs.train:pinned"),
    "detect train": Job(
        DetectTrainConfig, "pcdarts.detect.train_detector:run_detect", "pcdarts.detect.beginning:pinned_detection"
    ),
    "test": Job(TestConfig, "pcdarts.jobs.test:run_test"),
    "detect test": Job(DetectTestConfig, "pcdarts.detect.measure_detector:run_detect_test"),
    "export": Job(ExportConfig, "pcdarts.ship.export:run_export"),
    "predict": Job(PredictConfig, "pcdarts.jobs.predict:run_predict"),
    "show": Job(ShowConfig, "pcdarts.jobs.show:run_show"),
    "latency": Job(LatencyConfig, "pcdarts.jobs.latency:run_latency"),
    "score": Job(ScoreConfig, "pcdarts.jobs.score:run_score"),
    "rank": Job(RankConfig, "pcdarts.rank.rank:run_rank"),
    "tables": Job(TablesConfig, "pcdarts.bench.paper_tables:run_tables"),
    "status": Job(StatusConfig, "pcdarts.jobs.status:run_status"),
    "study run": Job(StudyRunConfig, "pcdarts.study.study_run:run_study"),
    "study status": Job(StudyStatusConfig, "pcdarts.study.study_status:run_study_status"),
    "report": Job(ReportConfig, "pcdarts.report.page:run_report"),
    "bench": Job(BenchConfig, "pcdarts.bench.bench:run_bench"),
    "data split": Job(DataSplitConfig, "pcdarts.learn.splits:run_data_split"),
    "compare": Job(CompareConfig, "pcdarts.own_images.compare:run_compare"),
    "fit": Job(FitConfig, "pcdarts.own_images.fit:run_fit", plans="pcdarts.own_images.fit:print_plan"),
}
"""By name, as it is typed."""
