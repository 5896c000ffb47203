"""wattline in Airflow 2.11 and 3: operators, sensors, a hook. Needs the extra ``wattline[airflow]``.

>>> from wattline.airflow import CheckOperator, PipelineOperator, ProduceOperator

Airflow asks :func:`get_provider_info` in every process it starts, so that nothing is imported here.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .assets import asset
    from .hook import WattlineHook
    from .operators import CheckOperator, PipelineOperator
    from .produce import ProduceOperator
    from .sensors import LagSensor, WindowSensor
    from .triggers import StateTrigger

_ROOM_OF = {
    "CheckOperator": "operators",
    "LagSensor": "sensors",
    "PipelineOperator": "operators",
    "ProduceOperator": "produce",
    "StateTrigger": "triggers",
    "WattlineHook": "hook",
    "WindowSensor": "sensors",
    "asset": "assets",
}

__all__ = [
    "CheckOperator",
    "LagSensor",
    "PipelineOperator",
    "ProduceOperator",
    "StateTrigger",
    "WattlineHook",
    "WindowSensor",
    "asset",
]


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'wattline.airflow' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"wattline.airflow.{room}"), name)
    globals()[name] = found
    return found


def get_provider_info() -> dict[str, object]:
    """What Airflow shows of this provider and where it finds the hook of connections of type ``wattline``."""
    name = "Wattline"
    return {
        "package-name": "wattline",
        "name": name,
        "description": "Interval readings from files and topics into calendar windows in a store, exactly once.",
        "integrations": [{"integration-name": name, "external-doc-url": "", "tags": ["software"]}],
        "operators": [
            {
                "integration-name": name,
                "python-modules": ["wattline.airflow.operators", "wattline.airflow.produce"],
            }
        ],
        "sensors": [{"integration-name": name, "python-modules": ["wattline.airflow.sensors"]}],
        "hooks": [{"integration-name": name, "python-modules": ["wattline.airflow.hook"]}],
        "triggers": [{"integration-name": name, "python-modules": ["wattline.airflow.triggers"]}],
        "connection-types": [
            {
                "connection-type": "wattline",
                "hook-class-name": "wattline.airflow.hook.WattlineHook",
                "hook-name": name,
                "ui-field-behaviour": {
                    "hidden-fields": ["port", "schema"],
                    "relabeling": {"host": "Endpoint (URL or path)"},
                    "placeholders": {"host": "postgresql://db.example.org/energy"},
                },
            }
        ],
    }
