//! Names as YACE writes them (prometheus-community/yet-another-cloudwatch-exporter, `pkg/promutil`).

/// The metric name of a statistic: `aws_ec2_cpuutilization_average`.
///
/// Namespaces that do not start with `aws` get it as a prefix; what a metric's name repeats of its namespace is left
/// out, as in `aws_glue_driver_aggregate_bytes_read_sum`.
pub fn metric_name(namespace: &str, metric: &str, statistic: &str) -> String {
    with_statistic(&stem(namespace, metric), statistic)
}

/// What all statistics of a metric begin with.
pub(super) fn stem(namespace: &str, metric: &str) -> String {
    let namespace = snake_case(&namespace.to_lowercase());
    let namespace = namespace.strip_prefix('_').unwrap_or(&namespace);
    let metric = snake_case(metric);
    let mut repeated = 0;
    for part in namespace.split('_') {
        if metric[repeated..].starts_with(part) {
            // Counted from the start of the name each time: so does YACE.
            repeated = part.len();
        }
    }
    let own = &metric[repeated..];
    let own = own.strip_prefix('_').unwrap_or(own);
    let prefix = if namespace.starts_with("aws") { "" } else { "aws_" };
    format!("{prefix}{namespace}_{own}_")
}

/// The metric name of one statistic.
pub(super) fn with_statistic(stem: &str, statistic: &str) -> String {
    [stem, &snake_case(statistic)].concat()
}

/// The label of a dimension: `dimension_InstanceId`.
pub fn dimension_label(dimension: &str) -> String {
    format!("dimension_{}", plain(dimension))
}

/// `DiskReadBytes` as `disk_read_bytes`: a word begins where a capital follows a small letter or a digit.
fn snake_case(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut previous = ' ';
    for character in text.chars() {
        let ends_word = previous.is_ascii_lowercase() || previous.is_ascii_digit();
        if ends_word && character.is_ascii_uppercase() {
            words.push('_');
        }
        words.push(character);
        previous = character;
    }
    let mut name = plain(&words);
    name.make_ascii_lowercase();
    name
}

/// With nothing but the letters that names of Prometheus have.
fn plain(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => name.push(character),
            '%' => name.push_str("_percent"),
            _ => name.push('_'),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_yace() {
        let cases = [
            ("AWS/EC2", "CPUUtilization", "Average", "aws_ec2_cpuutilization_average"),
            ("AWS/EC2", "StatusCheckFailed_Instance", "Maximum", "aws_ec2_status_check_failed_instance_maximum"),
            ("AWS/EC2", "NetworkPacketsIn", "SampleCount", "aws_ec2_network_packets_in_sample_count"),
            (
                "AWS/ApplicationELB",
                "HTTPCode_Target_5XX_Count",
                "Sum",
                "aws_applicationelb_httpcode_target_5_xx_count_sum",
            ),
            ("AWS/ApplicationELB", "TargetResponseTime", "p99", "aws_applicationelb_target_response_time_p99"),
            ("AWS/ApplicationELB", "TargetResponseTime", "p99.9", "aws_applicationelb_target_response_time_p99_9"),
            ("AWS/RDS", "FreeableMemory", "Minimum", "aws_rds_freeable_memory_minimum"),
            ("AWS/S3", "4xxErrors", "Sum", "aws_s3_4xx_errors_sum"),
            ("CWAgent", "mem_used_percent", "Average", "aws_cwagent_mem_used_percent_average"),
            ("CWAgent", "LogicalDisk % Free Space", "Average", "aws_cwagent_logical_disk__percent_free_space_average"),
            ("Glue", "glue.driver.aggregate.bytesRead", "Sum", "aws_glue_driver_aggregate_bytes_read_sum"),
            (
                "/aws/sagemaker/TrainingJobs",
                "CPUUtilization",
                "Average",
                "aws_sagemaker_trainingjobs_cpuutilization_average",
            ),
            ("AWS/Lambda", "Duration", "TM(10%:90%)", "aws_lambda_duration_tm_10_percent_90_percent_"),
            ("My App", "見張り", "Sum", "aws_my_app____sum"),
        ];
        for (namespace, metric, statistic, expected) in cases {
            assert_eq!(metric_name(namespace, metric, statistic), expected);
        }
    }

    #[test]
    fn labels_keep_the_case_of_their_dimension() {
        let cases = [
            ("InstanceId", "dimension_InstanceId"),
            ("Per-VPC Metrics", "dimension_Per_VPC_Metrics"),
            ("device", "dimension_device"),
            ("Use%", "dimension_Use_percent"),
        ];
        for (dimension, expected) in cases {
            assert_eq!(dimension_label(dimension), expected);
        }
    }
}
