"""Training steps of PyTorch on a GPU, for `benches/cuda.sh`: eager, compiled, and captured by hand, in true f32."""

import time

import torch
from torch import nn

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def mlp():
    net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return net, torch.randn(128, 784)


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )
    return net, torch.randn(64, 1, 28, 28)


def measure(step, rounds=200):
    for _ in range(20):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(rounds // 5):
            step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / (rounds // 5))
    return sorted(times)[2] * 1e3


def steps(make, mode):
    torch.manual_seed(0)
    net, x = make()
    net, x = net.cuda(), x.cuda()
    y = torch.randint(0, 10, (len(x),), device="cuda")
    adam = torch.optim.Adam(net.parameters(), lr=1e-6, fused=True, capturable=mode == "graph")
    forward = lambda: nn.functional.cross_entropy(net(x), y)
    if mode.startswith("compile"):
        forward = torch.compile(forward, mode="reduce-overhead" if mode == "compile-reduce-overhead" else "default")

    def step():
        adam.zero_grad(set_to_none=True)
        forward().backward()
        adam.step()

    if mode != "graph":
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


for name, make in [("mlp", mlp), ("mnist-cnn", cnn)]:
    for mode in ["eager", "compile", "compile-reduce-overhead", "graph"]:
        try:
            print(f"{name} {mode}: {measure(steps(make, mode)):.3f} ms a step", flush=True)
        except Exception as fault:
            print(f"{name} {mode}: left out, {fault}", flush=True)
