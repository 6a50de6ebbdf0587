"""The operator's TOML as frozen, strict records. Reading it touches nothing."""

from edged.config.load import BadConfig, load_config
from edged.config.records import (
    ApiConfig,
    CameraConfig,
    Config,
    DiscoveryConfig,
    LoginConfig,
    MetricsConfig,
    MqttConfig,
    OutageConfig,
    RecorderConfig,
    RetentionConfig,
    SiteConfig,
    VolumeConfig,
)

__all__ = [
    "ApiConfig",
    "BadConfig",
    "CameraConfig",
    "Config",
    "DiscoveryConfig",
    "LoginConfig",
    "MetricsConfig",
    "MqttConfig",
    "OutageConfig",
    "RecorderConfig",
    "RetentionConfig",
    "SiteConfig",
    "VolumeConfig",
    "load_config",
]
