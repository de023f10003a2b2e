"""Names that other trainers give to settings of ours, so that a message can answer in our words.

They are those of kohya-ss/sd-scripts and musubi-tuner (docs/), ostris/ai-toolkit (config/examples), the training
scripts of huggingface/diffusers (examples/dreambooth) and bghira/SimpleTuner (documentation/OPTIONS.md). None is ever
taken for a setting: they mean nearly the same, and nearly is not enough.
"""

from __future__ import annotations

__all__ = ["NAMES", "same_setting"]

NAMES = {
    # files
    "pretrained_model_name_or_path": "models.transformer",
    "name_or_path": "models.transformer",
    "ae": "models.vae",
    "pretrained_vae_model_name_or_path": "models.vae",
    "clip_l": "models.clip",
    "t5xxl": "models.t5",
    "network_weights": "models.lora",
    "pretrained_lora_path": "models.lora",
    "init_lora": "models.lora",
    # places
    "output_name": "name",
    "run_name": "name",
    "job_name": "name",
    "output_dir": "out",
    "training_folder": "loop.run_dir",
    "logging_dir": "loop.run_dir",
    "train_data_dir": "data",
    "instance_data_dir": "data",
    "data_dir": "data",
    "folder_path": "data",
    "image_dir": "data",
    "dataset": "data",
    "datasets": "data",
    "dataset_config": "data.manifests",
    "dataset_name": "data.manifests",
    "cache_dir": "data.cache",
    "cache_directory": "data.cache",
    # size and data
    "resolution": "data.size",
    "image_size": "data.size",
    "width": "data.size",
    "height": "data.size",
    "control_resolution": "data.content_size",
    "enable_bucket": "data.buckets",
    "caption_dropout_rate": "data.text_dropout",
    "caption_dropout_probability": "data.text_dropout",
    # adapters
    "network_dim": "lora.rank",
    "network_rank": "lora.rank",
    "lora_rank": "lora.rank",
    "dim": "lora.rank",
    "linear": "lora.rank",
    # optimisation
    "lr": "loop.learning_rate",
    "unet_lr": "loop.learning_rate",
    "max_train_steps": "loop.steps",
    "num_train_steps": "loop.steps",
    "steps": "loop.steps",
    "batch": "loop.batch_size",
    "train_batch_size": "loop.batch_size",
    "gradient_accumulation": "loop.micro_batch, of which loop.batch_size holds several",
    "gradient_accumulation_steps": "loop.micro_batch, of which loop.batch_size holds several",
    "optimizer_type": "loop.optimizer",
    "lr_scheduler": "loop.decay",
    "lr_scheduler_type": "loop.decay",
    "lr_warmup_steps": "loop.warmup",
    "warmup_steps": "loop.warmup",
    "adam_weight_decay": "loop.weight_decay",
    "adam_beta1": "loop.betas",
    "adam_beta2": "loop.betas",
    "max_grad_norm": "loop.clip",
    "gradient_clipping": "loop.clip",
    "ema_decay": "loop.ema",
    "use_ema": "loop.ema",
    "mixed_precision": "loop.precision",
    "dtype": "loop.precision",
    "manual_seed": "loop.seed",
    "training_seed": "loop.seed",
    "timestep_type": "flow.timestep_sampling",
    "weighting_scheme": "flow.timestep_sampling",
    "guidance_scale": "flow.guidance",
    "prior_loss_weight": "prior_preservation.weight",
    # memory
    "gradient_checkpointing": "memory.checkpointing",
    "fp8_base": "memory.base",
    "quantize": "memory.base",
    "base_model_precision": "memory.base",
    "low_vram": "memory.blocks_to_swap",
    "block_swap": "memory.blocks_to_swap",
    "torch_compile": "memory.compile",
    # what is left behind
    "save_every_n_steps": "loop.save_every",
    "checkpointing_steps": "loop.save_every",
    "checkpoint_step_interval": "loop.save_every",
    "save_last_n_steps": "loop.keep",
    "checkpoints_total_limit": "loop.keep",
    "max_step_saves_to_keep": "loop.keep",
    "log_with": "loop.loggers",
    "report_to": "loop.loggers",
    "save_precision": "`uso export --dtype`",
    "resume": "`uso train RUN`, the folder of the run",
    "resume_from_checkpoint": "`uso train RUN`, the folder of the run",
    # pictures on the way
    "sample_every": "monitor.samples_every",
    "sample_every_n_steps": "monitor.samples_every",
    "validation_steps": "monitor.samples_every",
    "sample_num_inference_steps": "monitor.sample_steps",
}
"""Name elsewhere to the setting here, or to the words that say where it is."""


def same_setting(name: str) -> str | None:
    """Return what a name of another trainer is called here, None for a name that we do not know either."""
    return NAMES.get(name.rpartition(".")[2].replace("-", "_").lower())
