"""What a figure was taken on: without it none means anything."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from bench.rig.builds import PEERS, NotBuiltError, java_command

_PACKAGES = ("aiokafka", "faust-streaming", "msgspec", "numpy")


def description() -> dict[str, str]:
    """Processor, memory, date, versions."""
    return {
        "processor": f"{_cpu()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in _PACKAGES)]),
        "peers": ", ".join([_java(), *_pins(), *_artifacts()]),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _java() -> str:
    try:
        told = subprocess.run([java_command(), "-version"], capture_output=True, text=True, check=False).stderr
    except NotBuiltError:
        return "no Java"
    return "Java " + told.split('"')[1]


def _pins() -> list[str]:
    lines = [line for file in sorted(PEERS.glob("*_requirements.txt")) for line in file.read_text("utf-8").splitlines()]
    return [line.replace("==", " ") for line in lines if line.startswith(("quixstreams", "bytewax"))]


def _artifacts() -> list[str]:
    """The versions the Java peers are built with; the poms are the one place they are written."""
    found = []
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    for pom in sorted(PEERS.glob("*/pom.xml")):
        root = ET.parse(pom).getroot()
        properties = {e.tag.rpartition("}")[2]: e.text or "" for e in root.iterfind("m:properties/*", space)}
        for dependency in root.iterfind("m:dependencies/m:dependency", space):
            name = dependency.findtext("m:artifactId", "", space)
            text = dependency.findtext("m:version", "", space)
            if name in ("kafka-streams", "flink-streaming-java", "flink-connector-kafka", "sketches-java"):
                found.append(f"{name} {properties.get(text.strip('${}'), text)}")
    return list(dict.fromkeys(found))
