//! How each kind of model is written in our language: the file of `models/` that has it, the net with its configuration, and
//! the step.

use crate::folder::Folder;

pub struct Form {
    /// What is used of the file in `models/` that has it.
    pub uses: String,
    pub net: String,
    /// Statements of the step before the loss.
    pub lines: Vec<&'static str>,
    pub loss: &'static str,
    /// Results and the expressions that give them.
    pub outputs: Vec<(&'static str, &'static str)>,
    /// The fields that the results need; the loss may need more.
    pub inputs: Vec<&'static str>,
}

fn form(file: &str, net: String, line: &'static str, loss: &'static str) -> Form {
    let inputs = vec!["x"];
    let uses = format!("{file}.{}", net.split('(').next().unwrap_or_default());
    Form { uses, net, lines: vec![line], loss, outputs: vec![("logits", "scores")], inputs }
}

/// PyTorch's name of an activation as our function.
fn activation(folder: &Folder, key: &str) -> Result<String, String> {
    Ok(match folder.config[key].as_str() {
        None => String::new(),
        Some(name @ ("relu" | "gelu" | "silu" | "tanh")) => format!(", activation: {name}"),
        Some("swish") => ", activation: silu".into(),
        Some("gelu_new" | "gelu_pytorch_tanh") => ", activation: gelu(approximate: tanh)".into(),
        Some(other) => return Err(format!("the activation `{other}`")),
    })
}

fn bert(folder: &Folder) -> Result<String, String> {
    let sizes = folder.args(&[
        ("vocab", "vocab_size"),
        ("width", "hidden_size"),
        ("depth", "num_hidden_layers"),
        ("heads", "num_attention_heads"),
        ("hidden", "intermediate_size"),
        ("context", "max_position_embeddings"),
        ("kinds", "type_vocab_size"),
        ("dropout", "hidden_dropout_prob"),
        ("eps", "layer_norm_eps"),
    ]);
    Ok(sizes + &activation(folder, "hidden_act")?)
}

/// How the folder's model is written.
pub fn of(folder: &Folder) -> Result<Form, String> {
    let class = folder.json["cls"].as_str().unwrap_or_default();
    let args = |names: &[(&str, &str)]| folder.args(names);
    const CLASSIFY: &str = "cross_entropy(scores, y)";
    Ok(match class {
        "Linear" => form(
            "linear_regression",
            format!("LinearRegression({})", args(&[("out", "out_features")])),
            "scores = net(x)",
            "mse(scores, y)",
        ),
        "MLP" => {
            let net = format!("Mlp({})", args(&[("hidden", "h"), ("classes", "o"), ("input", "i")]));
            form("mlp", net, "scores = net(x)", CLASSIFY)
        }
        "AE" => {
            let net = format!("Autoencoder({})", args(&[("size", "i"), ("hidden", "a"), ("code", "b")]));
            let form = form("autoencoder", net, "made = net(x)", "mse(made, x)");
            Form { outputs: vec![("recon", "made")], ..form }
        }
        "CNN" => {
            let net = format!("Cnn({})", args(&[("c1", "c1"), ("c2", "c2"), ("hidden", "h"), ("classes", "o")]));
            form("cnn", net, "scores = net(x)", CLASSIFY)
        }
        "KerasCNN" => {
            let net = format!("KerasCnn({})", args(&[("filters", "c"), ("classes", "o")]));
            let form = form("cnn", net, "scores = net(x)", CLASSIFY);
            Form { outputs: vec![("prob", "softmax(scores)")], ..form }
        }
        "DWCNN" => {
            let net = format!("DepthwiseCnn({})", args(&[("width", "w"), ("classes", "o")]));
            form("depthwise_cnn", net, "scores = net(x)", CLASSIFY)
        }
        "ResNet18" => {
            let net = format!("ResNet({})", args(&[("width", "w"), ("classes", "nc")]));
            form("resnet", net, "scores = net(x)", CLASSIFY)
        }
        "UNet" => {
            let net = format!("UNet({})", args(&[("width", "w"), ("classes", "o")]));
            form("unet", net, "scores = net(x)", "cross_entropy(permute(scores, [0, 2, 3, 1]), y)")
        }
        "VAE" => {
            let net = format!("Vae({})", args(&[("hidden", "h"), ("latent", "z")]));
            let line = "(recon, mu, logvar) = net(x, eps)";
            let form = form("vae", net, line, "vae_loss(recon, x, mu, logvar)");
            Form {
                uses: "vae.{Vae, vae_loss}".into(),
                outputs: vec![("recon", "recon"), ("mu", "mu"), ("logvar", "logvar")],
                inputs: vec!["x", "eps"],
                ..form
            }
        }
        "Dual" => {
            let net = format!("DualTower({})", args(&[("width", "d")]));
            let form = form("dual_tower", net, "scores = net(a, b)", "pair_loss(scores)");
            Form { uses: "dual_tower.{DualTower, pair_loss}".into(), inputs: vec!["a", "b"], ..form }
        }
        "AttnCls" => {
            let net = args(&[("vocab", "V"), ("context", "T"), ("width", "d"), ("heads", "h"), ("classes", "o")]);
            let net = format!("AttentionClassifier({net})");
            form("attention_classifier", net, "scores = net(x)", CLASSIFY)
        }
        "Seq2Seq" => {
            let net = args(&[
                ("vocab", "V"),
                ("context", "T"),
                ("width", "d"),
                ("depth", "L"),
                ("heads", "h"),
                ("hidden", "ff"),
            ]);
            let net = format!("Seq2Seq({net}, dropout: 0)");
            let loss = "cross_entropy(scores, tgt[:, 1:], label_smoothing: 0.1)";
            let form = form("transformer", net, "scores = net(src, tgt[:, :-1])", loss);
            Form { inputs: vec!["src", "tgt"], ..form }
        }
        "LSTMNet" => {
            let net = format!("LstmClassifier({})", args(&[("hidden", "h"), ("depth", "l"), ("classes", "o")]));
            form("lstm", net, "scores = net(x)", CLASSIFY)
        }
        "GRUTagger" => {
            let net = args(&[("vocab", "V"), ("width", "d"), ("hidden", "h"), ("tags", "o")]);
            form("gru_tagger", format!("GruTagger({net})"), "scores = net(x)", "cross_entropy(scores, y, ignore: 0)")
        }
        "transformers.GPT2LMHeadModel" => {
            let mut net = args(&[
                ("vocab", "vocab_size"),
                ("context", "n_positions"),
                ("width", "n_embd"),
                ("depth", "n_layer"),
                ("heads", "n_head"),
                ("hidden", "n_inner"),
                ("dropout", "resid_pdrop"),
                ("eps", "layer_norm_epsilon"),
            ]);
            net += &activation(folder, "activation_function")?;
            language_model("gpt2", format!("Gpt2({net})"))
        }
        "transformers.LlamaForCausalLM" => {
            let mut net = args(&[
                ("vocab", "vocab_size"),
                ("width", "hidden_size"),
                ("depth", "num_hidden_layers"),
                ("heads", "num_attention_heads"),
                ("kv_heads", "num_key_value_heads"),
                ("hidden", "intermediate_size"),
                ("head_width", "head_dim"),
                ("eps", "rms_norm_eps"),
                ("tied", "tie_word_embeddings"),
                ("attention_bias", "attention_bias"),
                ("mlp_bias", "mlp_bias"),
            ]);
            let base = &folder.config["rope_parameters"]["rope_theta"];
            let base = base.as_f64().or(folder.config["rope_theta"].as_f64());
            net += &base.map_or(String::new(), |b| format!(", base: {b:?}"));
            net += &activation(folder, "hidden_act")?;
            language_model("llama", format!("Llama({net})"))
        }
        "transformers.BertModel" => {
            let line = "(states, pooled) = net(ids, mask == 1, type)";
            let loss = "mean(states ^ 2) + mean(sum(pooled, axis: 1))";
            let form = form("bert", format!("Bert({})", bert(folder)?), line, loss);
            Form {
                outputs: vec![("last_hidden_state", "states"), ("pooler_output", "pooled")],
                inputs: vec!["ids", "mask", "type"],
                ..form
            }
        }
        "transformers.BertForSequenceClassification" => {
            let net = format!("BertClassifier(classes: {}, {})", folder.int("num_labels")?, bert(folder)?);
            let form = form("bert", net, "scores = net(ids, mask == 1, type)", CLASSIFY);
            Form { inputs: vec!["ids", "mask", "type"], ..form }
        }
        "transformers.ViTForImageClassification" => {
            let net = args(&[
                ("image", "image_size"),
                ("patch", "patch_size"),
                ("width", "hidden_size"),
                ("depth", "num_hidden_layers"),
                ("heads", "num_attention_heads"),
                ("hidden", "intermediate_size"),
                ("dropout", "hidden_dropout_prob"),
                ("eps", "layer_norm_eps"),
                ("bias", "qkv_bias"),
            ]);
            let net = format!(
                "VitClassifier(classes: {}, {net}{})",
                folder.int("num_labels")?,
                activation(folder, "hidden_act")?
            );
            form("vit", net, "scores = net(x)", CLASSIFY)
        }
        other => return Err(format!("no model of ours is a `{other}`")),
    })
}

/// The next token at every place.
fn language_model(file: &str, net: String) -> Form {
    let form = form(file, net, "scores = net(ids)", "cross_entropy(scores[:, :-1], ids[:, 1:])");
    Form { inputs: vec!["ids"], ..form }
}
