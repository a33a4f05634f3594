"""Memories: fast weights, slots, linear attention, delta rule, wkv, retention."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class FastWeights(nn.Module):
    """Fast weights: a decaying outer-product memory of the states, read in an inner loop."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.rec = nn.Linear(hidden, hidden, bias=False)
        self.norm = nn.LayerNorm(hidden)
        self.decay, self.rate, self.inner = 0.9, 0.5, 2

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        b, size = x.size(0), self.rec.in_features
        h = x.new_zeros(b, size)
        a = x.new_zeros(b, size, size)
        outs = []
        for t in range(x.size(1)):
            boundary = self.inp(x[:, t]) + self.rec(h)
            a = self.decay * a + self.rate * torch.bmm(h.unsqueeze(2), h.unsqueeze(1))
            h = torch.relu(boundary)
            for _ in range(self.inner):
                h = torch.relu(self.norm(boundary + torch.bmm(h.unsqueeze(1), a).squeeze(1)))
            outs.append(h)
        return torch.stack(outs, 1)


class SlotMemory(nn.Module):
    """NTM-like: content attention over slots for reading, erase and add for writing."""

    memory_bias: Tensor

    def __init__(self, features: int, hidden: int, slots: int, width: int) -> None:
        super().__init__()
        self.controller = nn.GRUCell(features + width, hidden)
        self.head = nn.Linear(hidden, 3 * width + 1)
        self.width = width
        self.register_buffer("memory_bias", torch.randn(slots, width) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, hidden + width]."""
        batch = x.size(0)
        memory = self.memory_bias.clone().repeat(batch, 1, 1)
        h = x.new_zeros(batch, self.controller.hidden_size)
        read = x.new_zeros(batch, self.width)
        outs = []
        for t in range(x.size(1)):
            h = self.controller(torch.cat([x[:, t], read], -1), h)
            key, erase, add, beta = self.head(h).split([self.width] * 3 + [1], -1)
            near = F.cosine_similarity(memory + 1e-8, key.unsqueeze(1) + 1e-8, dim=-1)
            w = F.softmax(F.softplus(beta) * near, dim=-1).unsqueeze(-1)
            memory = memory * (1 - w * erase.sigmoid().unsqueeze(1)) + w * add.unsqueeze(1)
            read = (w * memory).sum(1)
            outs.append(torch.cat([h, read], -1))
        return torch.stack(outs, 1)


class LinearAttentionLoop(nn.Module):
    """Causal linear attention as a walk: the running sums of k v^T and of k."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        b, steps, w = x.shape
        q, k, v = self.qkv(x).view(b, steps, 3, self.heads, w // self.heads).unbind(2)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        s = x.new_zeros(b, self.heads, w // self.heads, w // self.heads)
        z = x.new_zeros(b, self.heads, w // self.heads)
        outs = []
        for t in range(steps):
            s = s + torch.einsum("bhd,bhe->bhde", k[:, t], v[:, t])
            z = z + k[:, t]
            top = torch.einsum("bhd,bhde->bhe", q[:, t], s)
            outs.append(top / (q[:, t] * z).sum(-1, keepdim=True).clamp(min=1e-6))
        y: Tensor = self.out(torch.stack(outs, 1).reshape(b, steps, w))
        return y


class LinearAttentionCumsum(nn.Module):
    """Causal linear attention without a loop: cumsum over the outer products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        q, k, v = F.softplus(self.q(x)), F.softplus(self.k(x)), self.v(x)
        kv = torch.cumsum(k.unsqueeze(-1) * v.unsqueeze(-2), dim=1)
        norm = (q * k.cumsum(dim=1)).sum(-1, keepdim=True)
        return torch.matmul(q.unsqueeze(-2), kv).squeeze(-2) / norm


class DeltaNet(nn.Module):
    """Delta rule: the memory is corrected by what it answered wrongly for the key."""

    def __init__(self, features: int, key: int, value: int) -> None:
        super().__init__()
        self.proj_qk = nn.Linear(features, 2 * key)
        self.proj_v = nn.Linear(features, value)
        self.proj_beta = nn.Linear(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, value]."""
        q, k = F.silu(self.proj_qk(x)).chunk(2, -1)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        v, beta = self.proj_v(x), self.proj_beta(x).sigmoid()
        memory = torch.zeros(x.size(0), k.size(-1), v.size(-1), dtype=x.dtype)
        o = torch.empty_like(v)
        for i in range(x.size(1)):
            k_i = k[:, i]
            wrong = v[:, i] - (memory * k_i[..., None]).sum(-2)
            memory = memory + k_i.unsqueeze(-1) * (beta[:, i] * wrong).unsqueeze(-2)
            o[:, i] = torch.einsum("bk,bkv->bv", q[:, i], memory)
        return o


class WKVTimeMix(nn.Module):
    """RWKV-like time mixing: token shift, then wkv with a running maximum for stability."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time_mix = nn.Parameter(torch.rand(3, width))
        self.time_decay = nn.Parameter(torch.randn(width) * 0.5)
        self.time_first = nn.Parameter(torch.randn(width) * 0.5)
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        xx = self.shift(x)
        mk, mv, mr = self.time_mix
        k = self.key(x * mk + xx * (1 - mk))
        v = self.value(x * mv + xx * (1 - mv))
        r = torch.sigmoid(self.receptance(x * mr + xx * (1 - mr)))
        w = -torch.exp(self.time_decay)
        aa = bb = torch.zeros_like(k[:, 0])
        pp = torch.full_like(aa, -1e38)
        wkv = []
        for t in range(x.size(1)):
            kt, vt = k[:, t], v[:, t]
            top = torch.maximum(pp, self.time_first + kt)
            e1, e2 = torch.exp(pp - top), torch.exp(self.time_first + kt - top)
            wkv.append((e1 * aa + e2 * vt) / (e1 * bb + e2))
            top = torch.maximum(pp + w, kt)
            e1, e2 = torch.exp(pp + w - top), torch.exp(kt - top)
            aa, bb, pp = e1 * aa + e2 * vt, e1 * bb + e2, top
        y: Tensor = self.output(r * torch.stack(wkv, 1))
        return y


class RetentionLoop(nn.Module):
    """Retention in its recurrent form: a decay a head, group norm of the read."""

    decay: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.g = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.norm = nn.GroupNorm(heads, width)
        self.register_buffer("decay", 1 - 2.0 ** (-2.0 - torch.arange(heads)))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        b, d = x.size(0), x.size(2) // self.heads
        s = torch.zeros(b, self.heads, d, d, device=x.device)
        outs = []
        for x_t in x.unbind(1):
            q, k, v = (m(x_t).view(b, self.heads, d) for m in (self.q, self.k, self.v))
            s = s * self.decay.view(1, -1, 1, 1) + k.unsqueeze(-1) @ v.unsqueeze(-2)
            read = (q.unsqueeze(-2) @ s).reshape(b, -1)
            outs.append(self.norm(read) * F.silu(self.g(x_t)))
        return torch.stack(outs, dim=1)


class RetentionParallel(nn.Module):
    """Retention in its parallel form: a [T, T] matrix of decays, no loop."""

    def __init__(self, width: int, decay: float) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.decay = decay

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        q, k, v = self.qkv(x).chunk(3, -1)
        n = torch.arange(x.size(1), device=x.device)
        gap = (n[:, None] - n[None, :]).to(x.dtype)
        d = torch.where(gap >= 0, self.decay ** gap.clamp(min=0), torch.zeros_like(gap))
        return torch.matmul(torch.matmul(q, k.transpose(1, 2)) * d, v)


class GatedLinearAttention(nn.Module):
    """Linear attention with a data-dependent decay a key; reads once, at the last step."""

    def __init__(self, features: int, key: int, value: int) -> None:
        super().__init__()
        self.k = nn.Linear(features, key)
        self.v = nn.Linear(features, value)
        self.gate = nn.Linear(features, key)
        self.query = nn.Parameter(torch.randn(key))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, value]."""
        k, v = self.k(x), self.v(x)
        a = torch.exp(F.logsigmoid(self.gate(x)) / 4)
        s = x.new_zeros(x.size(0), k.size(-1), v.size(-1))
        for t in range(x.size(1)):
            s = a[:, t, :, None] * s + k[:, t, :, None] * v[:, t, None, :]
        return torch.einsum("k,bkv->bv", self.query, s)


class ExponentialGateLSTM(nn.Module):
    """sLSTM-like: exponential gates with a normaliser and a stabiliser state."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.w = nn.Linear(features, 4 * hidden)
        self.r = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        zero = x.new_zeros(x.size(0), self.r.in_features)
        h, c, n, m = zero, zero, zero, zero
        outs = []
        for t in range(x.size(1)):
            z, i, f, o = (self.w(x[:, t]) + self.r(h)).chunk(4, -1)
            log_f = F.logsigmoid(f)
            new_m = torch.maximum(log_f + m, i)
            keep, take = torch.exp(log_f + m - new_m), torch.exp(i - new_m)
            c, n, m = keep * c + take * torch.tanh(z), keep * n + take, new_m
            h = torch.sigmoid(o) * c / n
            outs.append(h)
        return torch.stack(outs, 1)


X, X6 = inputs(floats(4)), inputs(floats(6), batch=3, steps=6)
CASES: dict[str, Case] = {
    "fast_weights": Case(lambda: FastWeights(4, 6), X, "step", "vector and matrix states"),
    "slot_memory": Case(lambda: SlotMemory(4, 6, 5, 3), X, "step", "slots start from a buffer"),
    "linear_attention_loop": Case(lambda: LinearAttentionLoop(6, 2), X6, "step", "running sums"),
    "linear_attention_cumsum": Case(lambda: LinearAttentionCumsum(6), X6, "step", "two cumsums"),
    "delta_net": Case(lambda: DeltaNet(4, 5, 3), X, "step", "matrix state, writes to empty_like"),
    "wkv_time_mix": Case(lambda: WKVTimeMix(6), X6, "step", "last input and three states"),
    "retention_loop": Case(lambda: RetentionLoop(6, 2), X6, "step", "matrix state a head"),
    "retention_parallel": Case(
        lambda: RetentionParallel(6, 0.9), X6, "whole", "builds [T, T] as written", ("step",)
    ),
    "gated_linear_attention": Case(lambda: GatedLinearAttention(4, 5, 3), X, "last", "one read"),
    "exponential_gate_lstm": Case(lambda: ExponentialGateLSTM(4, 6), X, "step", "four states"),
}
