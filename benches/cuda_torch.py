"""Training steps of PyTorch on a GPU, for `benches/cuda.sh`: eager, compiled in three ways, and captured by hand, in true f32.

cuda_torch.py [SECONDS]: what is not begun after so many seconds is left out (240 if not given). Without a GPU, and with the word
`dry` instead, one eager step of each on the processor."""

import sys
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, layer_norm, relu, scaled_dot_product_attention

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
DRY = sys.argv[1:] == ["dry"]
DEVICE = "cpu" if DRY else "cuda"
END = time.perf_counter() + (float(sys.argv[1]) if len(sys.argv) > 1 and not DRY else 240)


class Block(nn.Module):
    """A block of ResNet-18."""

    def __init__(self, into, out, stride):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.c2, self.b2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        same = stride == 1 and into == out
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        return relu(self.b2(self.c2(relu(self.b1(self.c1(x))))) + self.skip(x))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(10000, 256), nn.LSTM(256, 256, 2, batch_first=True)
        self.out = nn.Linear(256, 10000)

    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0]).flatten(0, 1)


class Layer(nn.Module):
    """A block of a GPT without biases."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(layer_norm(x, (d,), self.n1)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(gelu(self.up(layer_norm(x, (d,), self.n2))))


class Gpt(nn.Module):
    def __init__(self, context, layers, heads, width):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(65, width), nn.Embedding(context, width)
        self.layers, self.norm = nn.Sequential(*[Layer(width, heads) for _ in range(layers)]), nn.Parameter(torch.ones(width))

    def forward(self, x):
        h = self.layers(self.wte(x) + self.wpe.weight[: x.shape[1]])
        return (layer_norm(h, h.shape[-1:], self.norm) @ self.wte.weight.T).flatten(0, 1)


def adam(params, mode):
    return torch.optim.Adam(params, lr=1e-6, fused=True, capturable=mode == "graph")


def adamw(params, mode):
    return torch.optim.AdamW(params, lr=1e-6, fused=True, capturable=mode == "graph")


def sgd(params, mode):
    return torch.optim.SGD(params, lr=1e-5, momentum=0.9, weight_decay=5e-4)


def mlp():
    net = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return net, torch.randn(128, 784), torch.randint(0, 10, (128,)), adam


def cnn():
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )
    return net, torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,)), adam


def lstm():
    return Lstm(), torch.randint(0, 10000, (20, 35)), torch.randint(0, 10000, (700,)), sgd


def resnet():
    sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    net = nn.Sequential(*stem, *[Block(*s) for s in sizes], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return net, torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,)), sgd


def gpt_mini():
    return Gpt(64, 4, 4, 128), torch.randint(0, 65, (12, 64)), torch.randint(0, 65, (768,)), adamw


def gpt_char():
    return Gpt(256, 6, 6, 384), torch.randint(0, 65, (4, 256)), torch.randint(0, 65, (1024,)), adamw


def wait():
    if not DRY:
        torch.cuda.synchronize()


def measure(step):
    for _ in range(1 if DRY else 20):
        step()
    wait()
    times = []
    for _ in range(1 if DRY else 5):
        rounds, start = 0, time.perf_counter()
        while rounds == 0 or not DRY and rounds < 40 and time.perf_counter() - start < 1:
            step()
            rounds += 1
        wait()
        times.append((time.perf_counter() - start) / rounds)
    return sorted(times)[len(times) // 2] * 1e3


def steps(make, mode):
    torch.manual_seed(0)
    net, x, y, optimizer = make()
    net, x, y = net.to(DEVICE), x.to(DEVICE), y.to(DEVICE)
    optimizer = optimizer(net.parameters(), mode)
    forward = lambda: cross_entropy(net(x), y)
    if mode.startswith("compile"):
        forward = torch.compile(forward, mode=mode.removeprefix("compile").removeprefix("-") or "default")

    def step():
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

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


NETS = [("mlp", mlp), ("cnn-mnist", cnn), ("gpt-mini", gpt_mini), ("gpt-char", gpt_char), ("lstm-lm", lstm), ("resnet18-cifar", resnet)]
MODES = ["eager"] if DRY else ["eager", "graph", "compile", "compile-reduce-overhead", "compile-max-autotune"]
print(f"PyTorch {torch.__version__}", flush=True)
for mode in MODES:
    for name, make in NETS:
        if time.perf_counter() > END:
            print(f"{name} {mode}: left out, no time", flush=True)
            continue
        try:
            print(f"{name} {mode}: {measure(steps(make, mode)):.3f} ms a step", flush=True)
        except Exception as fault:
            print(f"{name} {mode}: left out, {str(fault).splitlines()[:1]}", flush=True)
