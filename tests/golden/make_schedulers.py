#!/usr/bin/env python3
"""Whole runs of diffusers' schedulers with random configurations, for tests/parity/scheduler_test.cpp. Written for diffusers 0.42.1.
Usage: make_schedulers.py OUT [--count 330] [--seed 0]    writes OUT/scheduler_runs.json and OUT/scheduler_runs.safetensors. Needs torchsde and scipy."""
import argparse
import collections
import inspect
import json
import pathlib
import random
import sys
import warnings

import diffusers
import numpy
import torch
from diffusers.schedulers import scheduling_dpmsolver_sde
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()


class BrownianPath:
    """Stands in for the reference's sampler, whose noise no other program has: a path's first half, then the rest, from one generator."""

    def __init__(self, sample, *_):
        self.shape, self.random, self.half = sample.shape, torch.Generator().manual_seed(801), None

    def __call__(self, sigma, sigma_next):
        sigma, sigma_next = float(sigma), float(sigma_next)
        if self.half is None:
            self.half = (abs(sigma - sigma_next) ** 0.5 * torch.randn(self.shape, generator=self.random), sigma_next)
            return self.half[0] / abs(sigma - sigma_next) ** 0.5
        (first, middle), self.half = self.half, None
        return (first + abs(middle - sigma_next) ** 0.5 * torch.randn(self.shape, generator=self.random)) / abs(sigma - sigma_next) ** 0.5


scheduling_dpmsolver_sde.BrownianTreeNoiseSampler = BrownianPath


def schedule(pick, zero_snr=False, exponential=False, cosine=True):
    out = {
        "num_train_timesteps": pick([1000, 1000, 1000, 500]),
        "beta_schedule": pick(["linear", "scaled_linear", "scaled_linear"] + ["squaredcos_cap_v2"] * cosine + ["exp"] * exponential),
        "timestep_spacing": pick(["linspace", "leading", "trailing"]),
        "steps_offset": pick([0, 1]),
    }
    out["beta_start"], out["beta_end"] = pick([(0.00085, 0.012), (0.0001, 0.02)])
    if zero_snr and pick([0, 0, 1]) and out["beta_schedule"] != "squaredcos_cap_v2":
        out["rescale_betas_zero_snr"] = True
    return out


def predicts(pick, kinds=("epsilon", "v_prediction", "sample")):
    return {"prediction_type": pick(kinds)}


def curve(pick, extra=()):
    chosen = pick([None, None, "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", *extra])
    return {chosen: True} if chosen else {}


def thresholding(pick):
    return {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5} if pick([0, 0, 0, 1]) else {}


def flow(pick):
    """A solver's options for a model that predicts a flow."""
    return {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": pick([1.0, 3.0, 5.0])}


def solver(pick, kinds=("epsilon", "v_prediction", "sample"), extra=()):
    return flow(pick) if pick([0, 0, 0, 1]) else {**predicts(pick, kinds), **curve(pick, extra)}


def dpm(pick):
    out = {**schedule(pick, zero_snr=True), **solver(pick, extra=["use_lu_lambdas"]), **thresholding(pick)}
    algorithms = ["dpmsolver++", "dpmsolver++", "sde-dpmsolver++"] + ([] if "use_flow_sigmas" in out else ["dpmsolver", "sde-dpmsolver"])
    out |= {
        "algorithm_type": pick(algorithms),
        "solver_order": pick([1, 2, 2, 3]),
        "solver_type": pick(["midpoint", "heun"]),
        "lower_order_final": pick([True, False]),
        "euler_at_final": pick([False, False, True]),
        "final_sigmas_type": pick(["zero", "sigma_min"]),
    }
    if pick([0, 0, 0, 1]):
        out["lambda_min_clipped"] = -5.1
    if not out["algorithm_type"].endswith("++"):
        out["final_sigmas_type"] = "sigma_min"
    if out["algorithm_type"] == "sde-dpmsolver":
        out["solver_order"] = min(out["solver_order"], 2)
    return out


def single(pick):
    out = {key: value for key, value in dpm(pick).items() if key not in ("timestep_spacing", "steps_offset", "euler_at_final", "use_lu_lambdas", "rescale_betas_zero_snr")}
    if out["algorithm_type"] == "sde-dpmsolver":
        out["algorithm_type"] = "sde-dpmsolver++"
    if not out["algorithm_type"].endswith("++"):
        for key in ("thresholding", "dynamic_thresholding_ratio", "sample_max_value"):
            out.pop(key, None)
    return out


def unipc(pick):
    out = {**schedule(pick, zero_snr=True), **solver(pick), **thresholding(pick)}
    out |= {
        "solver_order": pick([1, 2, 2, 3, 4]),
        "solver_type": pick(["bh1", "bh2"]),
        "predict_x0": "use_flow_sigmas" in out or pick([True, True, False]),
        "disable_corrector": pick([[], [], [0], [0, 1]]),
        # A last step of no length is not a number in the reference: see findings/.
        "final_sigmas_type": pick(["zero", "sigma_min"]) if not any(key.startswith("use_") for key in out) else "zero",
    }
    if not out["predict_x0"]:
        out["final_sigmas_type"] = "sigma_min"
        for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "thresholding", "dynamic_thresholding_ratio", "sample_max_value"):
            out.pop(key, None)
    if "use_flow_sigmas" in out and pick([0, 1]):
        out["shift_terminal"] = 0.1
    return out


def edm(pick):
    return {
        "sigma_schedule": pick(["karras", "exponential"]),
        "sigma_data": pick([0.5, 1.0]),
        "sigma_max": pick([80.0, 120.0]),
        "rho": pick([7.0, 5.0]),
        "final_sigmas_type": pick(["zero", "sigma_min"]),
        **predicts(pick, ("epsilon", "v_prediction")),
    }


def edm_dpm(pick):
    out = edm(pick) | thresholding(pick)
    out |= {
        "algorithm_type": pick(["dpmsolver++", "sde-dpmsolver++"]),
        "solver_type": pick(["midpoint", "heun"]),
        "solver_order": pick([1, 2, 3]),
        "lower_order_final": pick([True, False]),
    }
    if out["algorithm_type"].startswith("sde"):
        out["solver_order"] = min(out["solver_order"], 2)
    return out


def flow_euler(pick):
    out = {"shift": pick([1.0, 3.0, 1.5]), "time_shift_type": pick(["exponential", "linear"]), **curve(pick)}
    out |= {"stochastic_sampling": pick([False, False, True]), "use_dynamic_shifting": pick([False, True])}
    if pick([0, 0, 1]):
        out["shift_terminal"] = 0.1
    if pick([0, 0, 0, 1]) and not any(key.endswith("_sigmas") for key in out):
        out["invert_sigmas"] = True
    return out


def flow_lcm(pick):
    return {key: value for key, value in flow_euler(pick).items() if key != "stochastic_sampling"}


def sa_solver(pick):
    out = {**schedule(pick, cosine=False), **solver(pick), **thresholding(pick)}
    out |= {
        "predictor_order": pick([1, 2, 2, 3, 4]),
        "corrector_order": pick([1, 2, 2, 3, 4]),
        "lower_order_final": pick([True, True, False]),
        "algorithm_type": "data_prediction" if "use_flow_sigmas" in out else pick(["data_prediction", "noise_prediction"]),
    }
    if pick([0, 0, 0, 1]):
        out["lambda_min_clipped"] = -5.1
    if out["algorithm_type"] == "noise_prediction":
        for key in ("thresholding", "dynamic_thresholding_ratio", "sample_max_value"):
            out.pop(key, None)
    return out


def distilled(pick):
    out = {**schedule(pick, zero_snr=True), **predicts(pick), "original_inference_steps": pick([50, 100]), "set_alpha_to_one": pick([True, False])}
    del out["timestep_spacing"], out["steps_offset"]
    return out


def lcm(pick):
    out = distilled(pick) | {"timestep_scaling": pick([10.0, 3.0])} | thresholding(pick)
    return out if "thresholding" in out else out | {"clip_sample": pick([True, False])}


def euler(pick):
    out = {**schedule(pick, zero_snr=True), **predicts(pick), **curve(pick), "final_sigmas_type": pick(["zero", "zero", "sigma_min"])}
    if pick([0, 0, 1]):
        out["interpolation_type"] = "log_linear"
    if pick([0, 0, 1]):
        out["timestep_type"] = "continuous"
    if pick([0, 0, 1]):
        out |= {"sigma_min": 0.05, "sigma_max": 10.0}
    return out


KINDS = {
    "DDIMScheduler": lambda pick: {
        **schedule(pick, zero_snr=True), **predicts(pick), **thresholding(pick), "clip_sample": pick([True, False]), "set_alpha_to_one": pick([True, False])
    },
    "DDPMScheduler": lambda pick: {
        **schedule(pick), **predicts(pick), **thresholding(pick), "clip_sample": pick([True, False]),
        "variance_type": pick(["fixed_small", "fixed_small_log", "fixed_large"])
    },
    "PNDMScheduler": lambda pick: {
        **schedule(pick), **predicts(pick, ("epsilon", "v_prediction")), "skip_prk_steps": pick([True, False]), "set_alpha_to_one": pick([True, False])
    },
    "EulerDiscreteScheduler": euler,
    "EulerAncestralDiscreteScheduler": lambda pick: {**schedule(pick, zero_snr=True), **predicts(pick, ("epsilon", "v_prediction"))},
    "HeunDiscreteScheduler": lambda pick: {**schedule(pick, exponential=True), **predicts(pick), **curve(pick), "clip_sample": pick([True, False])},
    "LMSDiscreteScheduler": lambda pick: {**schedule(pick), **predicts(pick), **curve(pick)},
    "KDPM2DiscreteScheduler": lambda pick: {**schedule(pick), **predicts(pick, ("epsilon", "v_prediction")), **curve(pick)},
    # Of the cosine schedule the reference loses what is left of two nearly equal squares in single precision.
    "KDPM2AncestralDiscreteScheduler": lambda pick: {**schedule(pick, cosine=False), **predicts(pick, ("epsilon", "v_prediction")), **curve(pick)},
    "DPMSolverSDEScheduler": lambda pick: {**schedule(pick), **predicts(pick, ("epsilon", "v_prediction")), **curve(pick)},
    "DPMSolverMultistepScheduler": dpm,
    "DPMSolverSinglestepScheduler": single,
    "UniPCMultistepScheduler": unipc,
    "DEISMultistepScheduler": lambda pick: {
        **schedule(pick), **solver(pick), **thresholding(pick), "solver_order": pick([1, 2, 3]), "lower_order_final": pick([True, False])
    },
    "EDMEulerScheduler": edm,
    "EDMDPMSolverMultistepScheduler": edm_dpm,
    "FlowMatchEulerDiscreteScheduler": flow_euler,
    "FlowMatchHeunDiscreteScheduler": lambda pick: {"shift": pick([1.0, 3.0, 1.5])},
    "FlowMatchLCMScheduler": flow_lcm,
    "LCMScheduler": lcm,
    "SASolverScheduler": sa_solver,
    "TCDScheduler": distilled,
}

# Of these the reference takes another number of steps by trailing spacing: see findings/.
TRAILING_COUNTS = {length: {n for n in range(1, length) if len(numpy.arange(length, 0, -length / n)) != n} for length in (500, 1000)}


def fake_model(scaled, timestep):
    return 0.3 * torch.sin(3 * scaled + 0.01 * timestep) + 0.1 * scaled


def draw(shape, generator=None, device=None, dtype=None, layout=None):
    return torch.randn(shape, generator=generator).to(dtype)


for module in list(sys.modules.values()):
    if module.__name__.startswith("diffusers.schedulers.") and hasattr(module, "randn_tensor"):
        module.randn_tensor = draw


def run(name, options, steps, tokens):
    """In double precision, as far as the reference lets: what it rounds to single, some solvers blow up beyond any use as a reference."""
    scheduler = getattr(diffusers.schedulers, name, None) or getattr(diffusers, name)
    scheduler = scheduler(**options)
    more = {}
    if options.get("use_dynamic_shifting"):
        more["mu"] = 0.5 + 0.65 * (tokens - 256) / (4096 - 256)
    scheduler.set_timesteps(steps, **more)
    for key, value in list(vars(scheduler).items()):
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32 and key != "timesteps":
            setattr(scheduler, key, value.double())
    sample = NOISE.double() * getattr(scheduler, "init_noise_sigma", 1.0)
    noise = {"generator": torch.Generator().manual_seed(801)} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
        sample = scheduler.step(fake_model(scaled, float(timestep)), timestep, sample, **noise).prev_sample
    return scheduler.timesteps.tolist(), sample.to(torch.float32)


NOISE = torch.randn([1, 2, 2, 2], generator=torch.Generator().manual_seed(800))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=330)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    random_source = random.Random(asked.seed)
    cases, results, refused = [], [], collections.Counter()
    while len(cases) < asked.count:
        name = list(KINDS)[len(cases) % len(KINDS)]
        options, steps, tokens = KINDS[name](random_source.choice), random_source.randint(1, 40), random_source.choice([256, 1024, 4096])
        if name == "PNDMScheduler" and not options["skip_prk_steps"]:
            steps = max(steps, 4)
        if options.get("timestep_spacing") == "trailing" and steps in TRAILING_COUNTS[options["num_train_timesteps"]]:
            continue
        try:
            timesteps, sample = run(name, options, steps, tokens)
        except Exception as error:  # noqa: BLE001 - what the reference itself cannot do is no case
            refused[f"{name}: {type(error).__name__} {str(error)[:80]}"] += 1
            continue
        if not torch.isfinite(sample).all() or sample.abs().max() > 1e4:
            refused[f"{name}: not finite"] += 1
            continue
        cases.append({"class": name, "config": options, "steps": steps, "tokens": tokens, "timesteps": [round(one, 4) for one in timesteps]})
        results.append(sample.flatten())
    save_file({"noise": NOISE, "results": torch.stack(results)}, str(asked.out / "scheduler_runs.safetensors"))
    lines = ",\n".join(json.dumps(case) for case in cases)
    (asked.out / "scheduler_runs.json").write_text(f"[\n{lines}\n]\n")
    print(f"{asked.count} runs; left out, as the reference cannot take them:")
    for what, times in sorted(refused.items()):
        print(f"  {times} x {what}")


if __name__ == "__main__":
    main()
